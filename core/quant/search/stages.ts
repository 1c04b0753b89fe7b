/**
 * The stages of quantizing a linear, each a function that can be replaced: scales for its inputs, the range of each
 * group, the integers. What is here are AutoAWQ's choices, those that go past them, and the methods made of them.
 */
import type { LinearName } from "../../model/layer.ts";
import type { CpuOps } from "../../model/ops.ts";
import { searchClip } from "./clip-search.ts";
import { compensate, type Factor, factorOf } from "./compensate.ts";
import { descend, type Rounded, refitScales } from "./descend.ts";
import { type Gram, outputErrors, sumOf } from "./gram.ts";
import { type Grids, gridsOf, type Ranges, rangesOf, roundToNearest, valuesOf } from "./grid.ts";
import { searchScale, type WeightMatrix, weightMagnitude } from "./scale-search.ts";

/** What is chosen once for all layers. */
export interface Settings {
  /** Values of a grid are 2^bits; files have room for 4 bits. */
  readonly bits: 2 | 3 | 4;
  /** Inputs that share a scale and a zero point. */
  readonly groupSize: number;
  /** Ratios tried for each scale of inputs; 0: no scales. */
  readonly scaleSteps: number;
  /** Whether each ratio is tried without the weights' magnitude as well. */
  readonly scaleBoth: boolean;
  /** How ranges are cut: not at all; as AutoAWQ does, which leaves q and k whole; each end on its own, in all linears. */
  readonly clip: "none" | "symmetric" | "asymmetric";
  /** To the nearest value, or with the error handed on to later inputs. */
  readonly rounding: "nearest" | "compensate";
  /** Inputs in their own order, or those with the largest second moments first; with `compensate`. */
  readonly order: "natural" | "falling";
  /** Share of the mean second moment that is added to the diagonal; with `compensate`. */
  readonly damping: number;
  /** Passes of coordinate descent behind the rounding. */
  readonly sweeps: number;
  /** How often scales are solved anew behind the rounding, each time with `sweeps` passes after it. */
  readonly refits: number;
  /** What a layer reads while it is quantized: the float layers' outputs, or those of the layers quantized before it. */
  readonly inputs: "float" | "quantized";
}

/** Linears that read the same inputs. */
export interface ScaleGroup {
  /** They share one vector of scales. */
  readonly linears: readonly WeightMatrix[];
  /** Of their inputs. */
  readonly gram: Gram;
}

/** The choices of a quantization, each a function that may be replaced. */
export interface Stages {
  /** s [K], by which inputs are divided and weights multiplied; null: 1 everywhere. */
  scales(ops: CpuOps, group: ScaleGroup, settings: Settings): Float32Array | null;
  /** What each group's grid has to reach. */
  ranges(ops: CpuOps, name: LinearName, matrix: WeightMatrix, gram: Gram, settings: Settings): Ranges;
  /** `factor` gives what `compensate` needs of the Gram, made once for linears that read the same. */
  round(ops: CpuOps, name: LinearName, matrix: WeightMatrix, gram: Gram, grids: Grids, factor: () => Factor, settings: Settings): Rounded;
}

/** Products that one evaluation of a loss may cost: larger linears are judged by some of their rows. */
const PRODUCTS = 2 ** 31;

/** At most so many evenly spaced rows that their loss costs no more than PRODUCTS; all of a small linear. */
export function someRows({ W, N, K }: WeightMatrix): { readonly matrix: WeightMatrix; readonly rows: readonly number[] } {
  const count = Math.min(N, Math.max(64, Math.floor(PRODUCTS / (K * K))));
  const rows = Array.from({ length: count }, (_, i) => Math.floor((i * N) / count));
  if (count === N) return { matrix: { W, N, K }, rows };
  const some = new Float32Array(count * K);
  for (const [i, n] of rows.entries()) some.set(W.subarray(n * K, (n + 1) * K), i * K);
  return { matrix: { W: some, N: count, K }, rows };
}

/** ŵ − w of a matrix rounded to the nearest on its own ranges. */
export function nearestDelta({ W, N, K }: WeightMatrix, { bits, groupSize }: Pick<Settings, "bits" | "groupSize">): Float32Array {
  const grids = gridsOf(rangesOf(W, N, K, groupSize), bits, groupSize);
  const delta = valuesOf(roundToNearest(W, grids), grids);
  for (let i = 0; i < delta.length; i++) delta[i] = delta[i]! - W[i]!;
  return delta;
}

/** W with column k times s[k]. */
export const timesColumns = (W: Float32Array, K: number, s: ArrayLike<number>): Float32Array => {
  const out = new Float32Array(W.length);
  for (let row = 0; row < W.length; row += K) for (let k = 0; k < K; k++) out[row + k] = W[row + k]! * s[k]!;
  return out;
};

/** Σ of the output errors of a group, rounded to the nearest behind scales s. */
function lossBehindScales(ops: CpuOps, matrices: readonly WeightMatrix[], gram: Gram, s: Float32Array, settings: Settings): number {
  let total = 0;
  for (const { W, N, K } of matrices) {
    const delta = nearestDelta({ W: timesColumns(W, K, s), N, K }, settings);
    for (let row = 0; row < delta.length; row += K) for (let k = 0; k < K; k++) delta[row + k] = delta[row + k]! / s[k]!;
    total += sumOf(outputErrors(ops, gram, delta, N));
  }
  return total;
}

export const stages: Stages = {
  scales(ops, { linears, gram }, settings) {
    if (settings.scaleSteps === 0) return null;
    const w = weightMagnitude(linears, gram.K, settings.groupSize);
    const judged = linears.map((linear) => someRows(linear).matrix);
    const loss = (s: Float32Array): number => lossBehindScales(ops, judged, gram, s, settings);
    const { ratio, scales } = searchScale(gram.magnitude, w, settings.scaleSteps, settings.scaleBoth, loss);
    return ratio === null ? null : scales;
  },
  ranges(ops, name, matrix, gram, { bits, groupSize, clip }) {
    const keeps = clip === "none" || (clip === "symmetric" && (name === "qProj" || name === "kProj"));
    if (keeps) return rangesOf(matrix.W, matrix.N, matrix.K, groupSize);
    return searchClip(ops, matrix, gram, { bits, groupSize, ends: clip });
  },
  round(ops, _name, matrix, gram, grids, factor, { rounding, sweeps, refits }) {
    const q = rounding === "nearest" ? roundToNearest(matrix.W, grids) : compensate(ops, matrix, factor(), grids);
    let rounded: Rounded = { q, grids };
    if (sweeps > 0) rounded = descend(ops, matrix, gram, rounded, sweeps);
    for (let i = 0; i < refits; i++) {
      rounded = refitScales(ops, matrix, gram, rounded);
      if (sweeps > 0) rounded = descend(ops, matrix, gram, rounded, sweeps);
    }
    return rounded;
  },
};

/** The factor of a Gram as the settings want it. */
export const factorFor = (ops: CpuOps, gram: Gram, { damping, order }: Settings): Factor =>
  factorOf(ops, gram, damping, order === "falling");

/** A set of choices by name. */
export type MethodName = "rtn" | "awq" | "best";
const plain = { scaleBoth: false, rounding: "nearest", order: "natural", damping: 0.01, sweeps: 0, refits: 0, inputs: "float" } as const;

/** Each is a setting for every choice; single ones may be given on top. */
export const methods: Readonly<Record<MethodName, Omit<Settings, "bits" | "groupSize">>> = {
  rtn: { ...plain, scaleSteps: 0, clip: "none" },
  awq: { ...plain, scaleSteps: 20, clip: "symmetric" },
  best: {
    scaleSteps: 20,
    scaleBoth: true,
    clip: "asymmetric",
    rounding: "compensate",
    order: "falling",
    damping: 0.01,
    sweeps: 4,
    refits: 1,
    inputs: "quantized",
  },
};

/**
 * The stages of quantizing a linear, each a function that can be replaced: scales for its inputs, the range of each
 * group, the integers. What is here are AutoAWQ's choices, those that go past them, and the methods made of them.
 */
import type { LinearName } from "../../model/layer.ts";
import type { CpuOps } from "../../model/ops.ts";
import type { DenseMatrix } from "../../tensor.ts";
import { searchClip } from "./clip-search.ts";
import { compensate, type Factor, factorOf } from "./compensate.ts";
import { descend, type Rounded, refitScales } from "./descend.ts";
import { type Gram, outputErrors, sumOf } from "./gram.ts";
import { type Grids, gridsOf, type Ranges, rangesOf, roundToGrid, roundToNearest, scaleFor, valuesOf, zeroOf } from "./grid.ts";
import { candidatesOf, searchScale, type WeightMatrix, weightMagnitude } from "./scale-search.ts";

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
  /**
   * What judges the scales of linears that share one: the output of the block that they are in (attention,
   * feed-forward), as AutoAWQ has it; or their own outputs' errors, added as they are, or each over its own squared
   * output.
   */
  readonly scaleLoss: "block" | "absolute" | "relative";
  /** With "block": on how many texts, and for the feed-forward network on as many tokens of all texts. */
  readonly blockTexts: number;
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
  /**
   * What a layer reads while it is quantized: the float layers' outputs; those of the layers quantized before it; or
   * those, with weights that aim at what the float model gives (correct.ts).
   */
  readonly inputs: "float" | "quantized" | "corrected";
  /** Steps in which each layer is trained by itself, behind all of this (train/train-block.ts). */
  readonly blockSteps: number;
  /** Steps in which all layers are trained together, behind that (train/whole.ts); the whole model is in memory. */
  readonly modelSteps: number;
  /** Ids that the float model writes itself, to be trained on together beside the calibration's (train/own-text.ts). */
  readonly ownTokens: number;
  /** Tokens of a step of either, about. */
  readonly stepTokens: number;
  /** How far a step moves an integer's place between its neighbours at first, in steps of the grid. */
  readonly rate: number;
  /** How far it moves scales and norms, in proportion to them. */
  readonly scaleRate: number;
}

/** Linears that read the same inputs. */
export interface ScaleGroup {
  /** They share one vector of scales. */
  readonly linears: readonly WeightMatrix[];
  /** Of their inputs. */
  readonly gram: Gram;
  /**
   * Squared error of the block's output, on a share of the kept tokens, if the linears had these weights; not there
   * where the linear's own output is judged.
   */
  readonly blockError?: (weights: readonly DenseMatrix[], share: number) => number;
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

/** Rows that stand for a linear in a heat of the search, at least: a few carry much of the loss. */
const LEAST_ROWS = 256;

/** At most so many evenly spaced outputs that their loss costs no more than PRODUCTS, all of a small linear; of those a share. */
export function judgedRows(N: number, K: number, share = 1): number[] {
  const most = Math.min(N, Math.max(64, Math.floor(PRODUCTS / (K * K))));
  const count = Math.min(most, Math.max(LEAST_ROWS, Math.ceil(share * most)));
  return Array.from({ length: count }, (_, i) => Math.floor((i * N) / count));
}

/** The rows by which a matrix is judged, as a matrix, and which they are. */
export function someRows({ W, N, K }: WeightMatrix, share = 1): { readonly matrix: WeightMatrix; readonly rows: readonly number[] } {
  const rows = judgedRows(N, K, share);
  if (rows.length === N) return { matrix: { W, N, K }, rows };
  const some = new Float32Array(rows.length * K);
  for (const [i, n] of rows.entries()) some.set(W.subarray(n * K, (n + 1) * K), i * K);
  return { matrix: { W: some, N: rows.length, K }, rows };
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

/** (W ∘ s rounded to the nearest) / s: what the linear amounts to behind scales s; group after group, so that nothing large is made. */
function behindScales({ W, N, K }: WeightMatrix, s: Float32Array, { bits, groupSize }: Settings): Float32Array {
  const top = 2 ** bits - 1;
  const out = new Float32Array(N * K);
  const scaled = new Float32Array(groupSize);
  for (let first = 0; first < N * K; first += groupSize) {
    const column = first % K;
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < groupSize; i++) {
      scaled[i] = W[first + i]! * s[column + i]!;
      const w = scaled[i]!;
      if (w < low) low = w;
      if (w > high) high = w;
      if (w - w !== 0) rangesOf(scaled, 1, groupSize, groupSize); // throws
    }
    const scale = scaleFor(low, high, top);
    const zero = zeroOf(low, scale, top);
    for (let i = 0; i < groupSize; i++) {
      const value = (roundToGrid(scaled[i]!, scale, zero, top) - zero) * scale;
      out[first + i] = value / s[column + i]!;
    }
  }
  return out;
}

/** The loss by which scales of a group are judged, on a share of the tokens or of the outputs. */
function scaleLossOf(
  ops: CpuOps,
  { linears, gram, blockError }: ScaleGroup,
  settings: Settings,
): (s: Float32Array, share: number) => number {
  const { scaleLoss } = settings;
  const { bits, groupSize } = settings;
  const rounded = (linear: WeightMatrix, s: Float32Array): DenseMatrix =>
    ops.search?.behindScales({ ...linear, bits, groupSize }, s) ?? {
      kind: "dense",
      dtype: "F32",
      outFeatures: linear.N,
      inFeatures: linear.K,
      data: behindScales(linear, s, settings),
    };
  if (scaleLoss === "block" && blockError) {
    return (s, share) =>
      blockError(
        linears.map((linear) => rounded(linear, s)),
        share,
      );
  }
  const errorOf = (matrix: WeightMatrix, delta: Float32Array): number => sumOf(outputErrors(ops, gram, delta, matrix.N));
  const judgedBy = new Map<number, { matrix: WeightMatrix; weight: number }[]>();
  return (s, share) => {
    const judged =
      judgedBy.get(share) ??
      linears.map((linear) => {
        const { matrix } = someRows(linear, share);
        return { matrix, weight: scaleLoss === "relative" ? 1 / (errorOf(matrix, matrix.W) || 1) : 1 };
      });
    judgedBy.set(share, judged);
    return judged.reduce((total, { matrix, weight }) => {
      const delta = behindScales(matrix, s, settings);
      for (let at = 0; at < delta.length; at++) delta[at] = delta[at]! - matrix.W[at]!;
      return total + weight * errorOf(matrix, delta);
    }, 0);
  };
}

/** Whether a linear's ranges are cut: AutoAWQ leaves those of q and k whole. */
export const isCut = (name: LinearName, clip: Settings["clip"]): boolean =>
  clip === "asymmetric" || (clip === "symmetric" && name !== "qProj" && name !== "kProj");

export const stages: Stages = {
  scales(ops, group, settings) {
    if (settings.scaleSteps === 0) return null;
    const { linears, gram } = group;
    const w = weightMagnitude(linears, gram.K, settings.groupSize);
    const candidates = candidatesOf(gram.magnitude, w, settings.scaleSteps, settings.scaleBoth);
    const { ratio, scales } = searchScale(candidates, scaleLossOf(ops, group, settings));
    return ratio === null ? null : scales;
  },
  ranges(ops, name, matrix, gram, { bits, groupSize, clip }) {
    if (clip === "none" || !isCut(name, clip)) return rangesOf(matrix.W, matrix.N, matrix.K, groupSize);
    return (
      ops.search?.clip({ ...matrix, bits, groupSize }, gram.H, clip === "asymmetric") ??
      searchClip(ops, matrix, gram, { bits, groupSize, ends: clip })
    );
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

/** No training, and its rates where it is asked for. */
export const untrained = {
  blockSteps: 0,
  modelSteps: 0,
  ownTokens: 0,
  stepTokens: 2048,
  rate: 0.01,
  scaleRate: 0.0005,
} as const;

const plain = {
  ...untrained,
  scaleBoth: false,
  scaleLoss: "block",
  blockTexts: 8,
  rounding: "nearest",
  order: "natural",
  damping: 0.01,
  sweeps: 0,
  refits: 0,
  inputs: "float",
} as const;

/** Each is a setting for every choice; single ones may be given on top, and large models are not trained (choose.ts). */
export const methods: Readonly<Record<MethodName, Omit<Settings, "bits" | "groupSize">>> = {
  rtn: { ...plain, scaleSteps: 0, clip: "none" },
  awq: { ...plain, scaleSteps: 20, clip: "symmetric" },
  best: {
    ...plain,
    scaleSteps: 20,
    scaleBoth: true,
    clip: "asymmetric",
    rounding: "compensate",
    order: "falling",
    sweeps: 4,
    refits: 1,
    modelSteps: 2400,
    ownTokens: 600_000,
    stepTokens: 1536,
    rate: 0.003,
    scaleRate: 0.001,
  },
};

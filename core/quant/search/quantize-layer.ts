/**
 * One layer of float weights to int4, in AWQ's order: scales folded into what comes before each linear, ranges cut,
 * weights rounded. Source: Lin et al. 2023, arXiv 2306.00978; AutoAWQ 0.2.9 `awq/quantize/quantizer.py`,
 * `awq/quantize/scale.py`, `awq/models/llama.py`.
 */
import { f16Bits, f16Values } from "../../dtype.ts";
import { within } from "../../errors.ts";
import { type LayerTree, type LinearName, linearParts, type NormName } from "../../model/layer.ts";
import type { CpuOps } from "../../model/ops.ts";
import type { DenseMatrix, Linear } from "../../tensor.ts";
import type { BlockInputs, LayerGrams, LinearInput } from "./capture.ts";
import type { Factor } from "./compensate.ts";
import type { Rounded } from "./descend.ts";
import { type Gram, outputErrors, scaleGram, sumOf } from "./gram.ts";
import { gridsOf, packLinear, rangesOf, valuesOf } from "./grid.ts";
import type { WeightMatrix } from "./scale-search.ts";
import { factorFor, nearestDelta, type Settings, type Stages, someRows, timesColumns } from "./stages.ts";

/** A linear in f32, its weight [N, K] and bias [N]. */
export interface FloatLinear extends WeightMatrix {
  readonly bias: Float32Array | null;
}
export type FloatLayer = LayerTree<FloatLinear, Float32Array>;

/** Squared output error on the calibration tokens over the squared output: of plain rounding, and of what was done. */
export interface LinearLoss {
  /** Of plain rounding. */
  readonly nearest: number;
  /** Of what was done. */
  readonly quantized: number;
  /** The squared output: summed over the tokens, and over the outputs that were looked at. */
  readonly power: number;
  /** Only some of the outputs were looked at. */
  readonly sampled: boolean;
}
export interface QuantizedLayer {
  readonly weights: LayerTree<Linear, Float32Array>;
  readonly losses: Readonly<Record<LinearName, LinearLoss>>;
  /** By linear: what its rows were divided by, where scales went into it. */
  readonly rows: Rows;
}
export type Rows = Readonly<Partial<Record<LinearName, Float32Array>>>;

/** What scales are searched for: the linears that read `input`, and what is divided by the scales in turn. */
export interface Fold {
  readonly input: LinearInput;
  readonly linears: readonly LinearName[];
  readonly into: NormName | "vProj" | "upProj";
  /** The block whose output judges the scales; without it the linear's own does. */
  readonly block?: keyof BlockInputs;
}

export const folds: readonly Fold[] = [
  { input: "inputLayernorm", linears: ["qProj", "kProj", "vProj"], into: "inputLayernorm", block: "attention" },
  { input: "attention", linears: ["oProj"], into: "vProj" },
  { input: "postAttentionLayernorm", linears: ["gateProj", "upProj"], into: "postAttentionLayernorm", block: "feedForward" },
  { input: "siluMul", linears: ["downProj"], into: "upProj" },
];

/** The state that stages hand on: everything as scaled so far. */
interface Scaled {
  readonly linears: Record<LinearName, FloatLinear>;
  readonly norms: Record<NormName, Float32Array>;
  readonly grams: Record<LinearInput, Gram>;
  /** By linear: what its rows were divided by. */
  readonly rows: Partial<Record<LinearName, Float32Array>>;
}

/** W and bias with row n divided by s[n]. */
function divideRows({ W, bias, N, K }: FloatLinear, s: Float32Array): FloatLinear {
  const divided = new Float32Array(W.length);
  for (let n = 0; n < N; n++) for (let k = n * K; k < (n + 1) * K; k++) divided[k] = W[k]! / s[n]!;
  return { W: divided, bias: bias?.map((b, n) => b / s[n]!) ?? null, N, K };
}

/**
 * norm / s as f16 holds it, and the scales that this leaves, norm / norm': what goes into the weights is exactly what
 * came out of the norm. A weight of 0 keeps s.
 */
export function foldIntoNorm(norm: Float32Array, s: Float32Array): { norm: Float32Array; scales: Float32Array } {
  const f16 = f16Values();
  const folded = norm.map((w, k) => {
    const divided = f16[f16Bits(w / s[k]!)]!;
    return w !== 0 && (divided === 0 || !Number.isFinite(divided)) ? w : divided;
  });
  return { norm: folded, scales: s.map((scale, k) => (norm[k] === 0 ? scale : norm[k]! / folded[k]!)) };
}

/** The squared error of a block's output, on a share of its inputs, where some of its linears have other weights. */
export type BlockError = (block: keyof BlockInputs, weights: Partial<Record<LinearName, DenseMatrix>>, share: number) => number;

/** Searches and folds the scales of all linears of the layer. */
function scaleLayer(ops: CpuOps, state: Scaled, settings: Settings, stages: Stages, errorOf: BlockError): void {
  const { linears, norms, grams } = state;
  for (const { input, linears: names, into, block } of folds) {
    const group = names.map((name) => linears[name]);
    const blockError =
      block === undefined
        ? undefined
        : (weights: readonly DenseMatrix[], share: number): number =>
            errorOf(block, Object.fromEntries(names.map((name, i) => [name, weights[i]!])), share);
    // Values that several heads read (grouped queries) cannot be divided for one of them.
    if (into === "vProj" && linears.vProj.N !== linears.oProj.K) continue;
    const wanted = stages.scales(ops, { linears: group, gram: grams[input], ...(blockError ? { blockError } : {}) }, settings);
    if (!wanted) continue;
    let scales = wanted;
    if (into === "vProj" || into === "upProj") {
      linears[into] = divideRows(linears[into], wanted);
      state.rows[into] = wanted;
    } else {
      const folded = foldIntoNorm(norms[into], wanted);
      norms[into] = folded.norm;
      scales = folded.scales;
    }
    for (const name of names) linears[name] = { ...linears[name], W: timesColumns(linears[name].W, linears[name].K, scales) };
    grams[input] = scaleGram(grams[input], scales);
  }
}

/** Σ of the errors of rows that were divided by `divisors`, in the units of before. */
export const inFormerUnits = (errors: ArrayLike<number>, rows: readonly number[], divisors: Float32Array | undefined): number =>
  sumOf(divisors ? Array.from(errors, (error, i) => error * divisors[rows[i]!]! ** 2) : errors);

/** ŵ − w of some rows. */
function deltaOf({ q, grids }: Rounded, { W, K }: WeightMatrix, rows: readonly number[]): Float32Array {
  const groups = K / grids.groupSize;
  const delta = new Float32Array(rows.length * K);
  for (const [i, n] of rows.entries()) {
    const own = { ...grids, scales: grids.scales.subarray(n * groups, (n + 1) * groups), zeros: grids.zeros.subarray(n * groups) };
    const values = valuesOf(q.subarray(n * K, (n + 1) * K), own);
    for (let k = 0; k < K; k++) delta[i * K + k] = values[k]! - W[n * K + k]!;
  }
  return delta;
}

/** Ranges, grids, integers of one linear: with cut ranges where these are better over all, and whole ones else. */
function roundLinear(
  ops: CpuOps,
  name: LinearName,
  matrix: WeightMatrix,
  gram: Gram,
  factor: () => Factor,
  settings: Settings,
  stages: Stages,
): { rounded: Rounded; errors: Float64Array; rows: readonly number[] } {
  const { rows } = someRows(matrix);
  const { bits, groupSize } = settings;
  const errorsOf = (rounded: Rounded): Float64Array => outputErrors(ops, gram, deltaOf(rounded, matrix, rows), rows.length);
  const ranges = stages.ranges(ops, name, matrix, gram, settings);
  const rounded = stages.round(ops, name, matrix, gram, gridsOf(ranges, bits, groupSize), factor, settings);
  const errors = errorsOf(rounded);
  // A group is cut by its own part of the error alone; what that does to all of it shows only now.
  const whole = sumOf(outputErrors(ops, gram, nearestDelta(someRows(matrix).matrix, settings), rows.length));
  if (sumOf(errors) <= whole) return { rounded, errors, rows };
  const grids = gridsOf(rangesOf(matrix.W, matrix.N, matrix.K, groupSize), bits, groupSize);
  const other = stages.round(ops, name, matrix, gram, grids, factor, settings);
  const others = errorsOf(other);
  return sumOf(others) < sumOf(errors) ? { rounded: other, errors: others, rows } : { rounded, errors, rows };
}

/** Steps of a layer that are told of. */
export const LAYER_STEPS: number = 1 + linearParts.length;

/**
 * Quantizes the linears of a layer; norms take up scales, all else stays.
 * @param onStep called LAYER_STEPS times: after the scales, and after each linear
 * @throws GureumError "non-finite", "range", "shape", naming the linear
 */
export function quantizeLayer(
  ops: CpuOps,
  layer: FloatLayer,
  grams: LayerGrams,
  errorOf: BlockError,
  settings: Settings,
  stages: Stages,
  onStep: () => void = () => {},
): QuantizedLayer {
  const linears = Object.fromEntries(linearParts.map(({ name }) => [name, layer[name]])) as Record<LinearName, FloatLinear>;
  const norms = { inputLayernorm: layer.inputLayernorm, postAttentionLayernorm: layer.postAttentionLayernorm };
  const state: Scaled = { linears, norms, grams: { ...grams }, rows: {} };
  scaleLayer(ops, state, settings, stages, errorOf);
  onStep();
  const factors = new Map<LinearInput, Factor>();
  const packed: Partial<Record<LinearName, Linear>> = {};
  const losses: Partial<Record<LinearName, LinearLoss>> = {};
  for (const { name, input } of linearParts)
    within(name, () => {
      const linear = linears[name];
      const gram = state.grams[input];
      const factor = (): Factor => {
        const known = factors.get(input) ?? factorFor(ops, gram, settings);
        factors.set(input, known);
        return known;
      };
      const { rounded, errors, rows } = roundLinear(ops, name, linear, gram, factor, settings, stages);
      packed[name] = { weight: packLinear(rounded.q, rounded.grids, linear.N, linear.K), bias: linear.bias };
      const before = someRows(layer[name]).matrix;
      const power = sumOf(outputErrors(ops, grams[input], before.W, before.N));
      const share = (errors: number): number => (power > 0 ? errors / power : 0);
      losses[name] = {
        nearest: share(sumOf(outputErrors(ops, grams[input], nearestDelta(before, settings), before.N))),
        quantized: share(inFormerUnits(errors, rows, state.rows[name])),
        power,
        sampled: rows.length < linear.N,
      };
      onStep();
    });
  return {
    weights: { ...layer, ...norms, ...(packed as Record<LinearName, Linear>) },
    losses: losses as Record<LinearName, LinearLoss>,
    rows: state.rows,
  };
}

/** The float linears with all scales folded in that came to these norms and rows: what was rounded. */
export function scaledLinears(
  layer: FloatLayer,
  norms: Readonly<Record<NormName, Float32Array>>,
  rows: Rows,
): Record<LinearName, FloatLinear> {
  const linears = Object.fromEntries(linearParts.map(({ name }) => [name, layer[name]])) as Record<LinearName, FloatLinear>;
  for (const { linears: names, into } of folds) {
    let scales: Float32Array;
    if (into === "vProj" || into === "upProj") {
      const divisors = rows[into];
      if (!divisors) continue;
      linears[into] = divideRows(linears[into], divisors);
      scales = divisors;
    } else scales = layer[into].map((w, k) => (w === 0 ? 1 : w / norms[into][k]!));
    for (const name of names) linears[name] = { ...linears[name], W: timesColumns(linears[name].W, linears[name].K, scales) };
  }
  return linears;
}

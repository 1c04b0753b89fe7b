/**
 * The forward pass in `exact` as recorded dispatches: the steps of core/exact/forward.ts in the same order under the same names, every buffer one
 * of words. A linear's kernel adds its result to the residual stream itself, but where a tap point wants to see it first.
 */

import type { LlamaConfig } from "../../core/config.ts";
import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { scoreFactor } from "../../core/exact/rope.ts";
import type { LayerTapName } from "../../core/model/trace.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import type { Needs } from "../device/capabilities.ts";
import { exactAdd } from "../kernels/exact/exact-add.ts";
import { exactAttentionRow, ROW_KEYS } from "../kernels/exact/exact-attention-row.ts";
import { exactAwq } from "../kernels/exact/exact-awq.ts";
import { exactAwqMatrix } from "../kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../kernels/exact/exact-awq-matrix-4.ts";
import { exactAwqRow, MOST_ROW_INPUTS, tuneRow } from "../kernels/exact/exact-awq-row.ts";
import { exactAwqStored } from "../kernels/exact/exact-awq-stored.ts";
import { exactAwqTile } from "../kernels/exact/exact-awq-tile.ts";
import { exactDense } from "../kernels/exact/exact-dense.ts";
import { exactDenseTile } from "../kernels/exact/exact-dense-tile.ts";
import { type Digits, digitBytes, exactDigits } from "../kernels/exact/exact-digits.ts";
import { exactEmbedding } from "../kernels/exact/exact-embedding.ts";
import { exactMix } from "../kernels/exact/exact-mix.ts";
import { exactNorm } from "../kernels/exact/exact-norm.ts";
import { exactNormDigits } from "../kernels/exact/exact-norm-digits.ts";
import { type ExactAttentionShape, exactRope, queryBytes } from "../kernels/exact/exact-rope.ts";
import { type ExactAttentionPart, exactScores } from "../kernels/exact/exact-scores.ts";
import { exactSiluMul } from "../kernels/exact/exact-silu-mul.ts";
import { exactSoftmax } from "../kernels/exact/exact-softmax.ts";
import type { ExactGpuLinear, ExactGpuWeights, JoinedLinear } from "../model/exact-weights.ts";
import type { Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel } from "../pipeline/recorder.ts";

/** What lasts as long as a session. */
export interface ExactSequence {
  /** struct Step */
  readonly step: GPUBuffer;
  /** [rows] u32 */
  readonly ids: GPUBuffer;
  /** [maxContext, Hd/2] of (cos, sin) words */
  readonly table: GPUBuffer;
  /** Per layer, as exact-rope.ts lays them out. */
  readonly keys: readonly GPUBuffer[];
  readonly values: readonly GPUBuffer[];
  readonly exponents: readonly GPUBuffer[];
  readonly maxContext: number;
}

/** Buffers for up to `rows` tokens at once; one set serves every layer. */
export interface ExactActivations {
  readonly rows: number;
  readonly x: GPUBuffer;
  readonly normed: GPUBuffer;
  readonly q: GPUBuffer;
  readonly k: GPUBuffer;
  readonly v: GPUBuffer;
  /** q, k and v of one row side by side, and each of them; null where a binding cannot begin at each. */
  readonly qkv: {
    readonly all: GPUBuffer;
    readonly q: GPUBufferBinding;
    readonly k: GPUBufferBinding;
    readonly v: GPUBufferBinding;
  } | null;
  /** Heads after their norms, where the model has these; else q and k. */
  readonly qNormed: GPUBuffer;
  readonly kNormed: GPUBuffer;
  readonly attention: GPUBuffer;
  readonly branch: GPUBuffer;
  readonly gate: GPUBuffer;
  readonly up: GPUBuffer;
  readonly digits: GPUBuffer;
  readonly sums: GPUBuffer;
  readonly exponents: GPUBuffer;
  readonly queries: GPUBuffer;
  /** [attentionRows, H, maxContext] */
  readonly scores: GPUBuffer;
  readonly stats: GPUBuffer;
  /** Query rows whose scores fit `scores`. */
  readonly attentionRows: number;
  /** Bound where a linear has no bias. */
  readonly nothing: GPUBuffer;
}

/** Bytes that the scores of some query rows may take. */
const SCORE_BYTES = 128 * 2 ** 20;

export const shapeOf = (config: LlamaConfig): ExactAttentionShape => ({
  H: config.numAttentionHeads,
  G: config.numKeyValueHeads,
  Hd: config.headDim,
  window: config.slidingWindow,
});

/** @throws GureumError "limit" */
export function makeExactActivations(memory: Memory, config: LlamaConfig, rows: number, maxContext: number): ExactActivations {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const words = (label: string, width: number): GPUBuffer => allocate(memory, label, rows * width * 4);
  const operands = [digitBytes(D, 3, rows), digitBytes(H * Hd, 3, rows), digitBytes(F, 4, rows)];
  const attentionRows = Math.max(1, Math.min(rows, Math.floor(SCORE_BYTES / (4 * H * maxContext))));
  const q = words("q", H * Hd);
  const k = words("k", G * Hd);
  return {
    rows,
    x: words("x", D),
    normed: words("normed", D),
    q,
    k,
    qkv: joinedHeads(memory, H * Hd, G * Hd),
    qNormed: config.qkNorm ? words("qNorm", H * Hd) : q,
    kNormed: config.qkNorm ? words("kNorm", G * Hd) : k,
    v: words("v", G * Hd),
    attention: words("attention", H * Hd),
    branch: words("branch", D),
    gate: words("gate", F),
    up: words("up", F),
    digits: allocate(memory, "digits", Math.max(...operands.map(({ digits }) => digits))),
    sums: allocate(memory, "digit sums", Math.max(...operands.map(({ sums }) => sums))),
    exponents: allocate(memory, "exponents", rows * 4),
    queries: allocate(memory, "queries", queryBytes(shapeOf(config), rows)),
    scores: allocate(memory, "scores", attentionRows * H * maxContext * 4),
    stats: allocate(memory, "softmax statistics", rows * H * 8),
    attentionRows,
    nothing: allocate(memory, "nothing", 16),
  };
}

/** Bindings begin at multiples of 256 bytes. */
function joinedHeads(memory: Memory, Q: number, KV: number): ExactActivations["qkv"] {
  if (Q % 64 !== 0 || KV % 64 !== 0) return null;
  const all = allocate(memory, "q, k, v", 4 * (Q + 2 * KV));
  const at = (first: number, width: number): GPUBufferBinding => ({ buffer: all, offset: 4 * first, size: 4 * width });
  return { all, q: at(0, Q), k: at(Q, KV), v: at(Q + KV, KV) };
}

/** What a recording needs of model and session. */
export interface ExactContext {
  readonly config: LlamaConfig;
  readonly weights: ExactGpuWeights;
  readonly sequence: ExactSequence;
  readonly a: ExactActivations;
  /** Whether T is 1, and nobody looks at what lies between: linears of one input then run as one. */
  readonly oneRow: boolean;
  /** Whether the device multiplies matrices of i8. */
  readonly matrices: boolean;
  /** Lanes that share a row where there is one: a power of two. */
  readonly lanes: number;
}

/** Called after the dispatch that gives a tap point its value; whether anybody looks. */
export interface ExactMarks {
  wants(name: string): boolean;
  mark(name: string, buffer: GPUBuffer): void;
  /** Where the attention weights of all rows go: [T, H, maxContext]. */
  readonly shares?: GPUBuffer;
}
const noMarks: ExactMarks = { wants: () => false, mark() {} };

/** From so many rows on, linears go by tiles. */
export const MANY_ROWS = 5;
/** Words of digits that a lane makes there: fewer workgroups read a row's largest number each for itself. */
const WORDS_EACH = 4;
const few: Span = { from: 1, to: MANY_ROWS };
const many: Span = { from: MANY_ROWS, to: Infinity };

/** x [T, K] as digits in c.a, for a linear; blocks lie as who reads them wants. */
function recordDigits(
  recorder: Recorder,
  { a, oneRow, lanes }: ExactContext,
  x: GPUBuffer,
  { weight }: Pick<ExactGpuLinear, "weight">,
  P: Digits,
  label: string,
): void {
  const buffers = { x, digits: a.digits, sums: a.sums, exponents: a.exponents };
  const shape = { K: weight.K, P, ...(oneRow ? { lanes } : {}) };
  const unit = weight.kind === "packed" ? weight.unit : 1;
  if (oneRow || unit === 1) {
    recordKernel(recorder, exactDigits, buffers, { ...shape, unit }, { label });
    return;
  }
  recordKernel(recorder, exactDigits, buffers, { ...shape, unit }, { label, rows: few });
  recordKernel(recorder, exactDigits, buffers, { ...shape, each: WORDS_EACH, unit: 1 }, { label, rows: many });
}

/** The norm of a.x as digits, for linears that read it; by way of a.normed where that is looked at. */
function recordNormed(
  recorder: Recorder,
  c: ExactContext,
  weight: GPUBuffer,
  reader: Pick<ExactGpuLinear, "weight">,
  marks: ExactMarks,
  name: string,
): void {
  const { a, config, lanes, oneRow, sequence } = c;
  const D = config.hiddenSize;
  const norm = { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(nearest(config.rmsNormEps)) };
  if (marks.wants(name)) {
    recordKernel(recorder, exactNorm, { step: sequence.step, x: a.x, weight, out: a.normed }, norm, { label: name });
    marks.mark(name, a.normed);
    recordDigits(recorder, c, a.normed, reader, 3, name);
    return;
  }
  const buffers = { x: a.x, weight, digits: a.digits, sums: a.sums, exponents: a.exponents };
  const unit = reader.weight.kind === "packed" ? reader.weight.unit : 1;
  const shape = { ...norm, lanes: oneRow ? lanes : Math.min(lanes, 256) };
  if (oneRow || unit === 1) recordKernel(recorder, exactNormDigits, buffers, { ...shape, each: 1, unit }, { label: name });
  else {
    recordKernel(recorder, exactNormDigits, buffers, { ...shape, each: 1, unit }, { label: name, rows: few });
    recordKernel(recorder, exactNormDigits, buffers, { ...shape, each: WORDS_EACH, unit: 1 }, { label: name, rows: many });
  }
}

/** How a linear's result is left. */
interface Left {
  readonly P?: Digits;
  readonly adds?: boolean;
  /** Of one row of digits, however large T is. */
  readonly oneRow?: boolean;
}

/** out = (adds: out +) the linear of the digits in c.a. */
function recordLinear(
  recorder: Recorder,
  c: ExactContext,
  { weight, bias }: ExactGpuLinear,
  out: GPUBuffer,
  { P = 3, adds = false, oneRow = false }: Left,
  label: string,
): void {
  const { a, sequence } = c;
  const { step } = sequence;
  if (c.oneRow && weight.kind === "packed" && weight.K <= MOST_ROW_INPUTS) {
    recordRow(recorder, c, { weight, bias }, out, { P, adds, paired: false }, label);
    return;
  }
  const { digits, sums, exponents } = a;
  const shared = { step, digits, exponents, bias: bias ?? a.nothing, out };
  const tile = c.oneRow || oneRow ? 1 : MANY_ROWS - 1;
  const shape = { K: weight.K, P, hasBias: bias !== null, adds, tile };
  const when = tile === 1 ? { label } : { label, rows: few };
  if (weight.kind === "packed") {
    const { weights, groups, bases, N, groupSize, unit, firstRow, spread } = weight;
    const packed = { ...shape, N, groupSize, unit, firstRow };
    recordKernel(recorder, exactAwq, { ...shared, sums, weights, groups }, packed, when);
    if (tile > 1) {
      const byMatrices = c.matrices && weight.K % 128 === 0 && groupSize % 128 === 0;
      const kernel = byMatrices ? (P === 3 ? exactAwqMatrix : exactAwqMatrix4) : exactAwqTile;
      recordKernel(recorder, kernel, { ...shared, weights, groups, bases }, { ...packed, spread }, { label, rows: many });
    }
  } else if (weight.kind === "awq") {
    for (const { firstColumn, N, ...piece } of weight.pieces)
      recordKernel(
        recorder,
        exactAwqStored,
        { ...shared, ...piece },
        { ...shape, N, groupSize: weight.groupSize, firstColumn, columns: weight.N },
        { label },
      );
  } else {
    for (const { firstColumn, N, ...piece } of weight.pieces) {
      const dense = { ...shape, N, firstColumn, columns: weight.N };
      recordKernel(recorder, exactDense, { ...shared, ...piece }, { ...dense, oneRow }, when);
      if (tile > 1) recordKernel(recorder, exactDenseTile, { ...shared, ...piece }, dense, { label, rows: many });
    }
  }
}

/** One row by repacked weights; `paired`: gate and up, their products with SiLU into `out`. */
function recordRow(
  recorder: Recorder,
  { a }: ExactContext,
  { weight, bias }: JoinedLinear,
  out: BufferArg,
  { P, adds, paired }: { readonly P: Digits; readonly adds: boolean; readonly paired: boolean },
  label: string,
): void {
  const { weights, groups, bases, spread, K, groupSize, firstRow, unit } = weight;
  const { digits, sums, exponents } = a;
  const N = paired ? weight.N / 2 : weight.N;
  const shape = { K, N, P, groupSize, unit, firstRow, hasBias: bias !== null, adds, paired, spread, ...tuneRow(K, weight.N, unit) };
  const buffers = { digits, sums, exponents, weights, groups, bases, bias: bias ?? a.nothing, out };
  recordKernel(recorder, exactAwqRow, buffers, shape, { label });
}

/** From `sequence.ids` to the residual stream after the last layer in `a.x`; writes the cache at step.start. */
export function recordExactLayers(recorder: Recorder, c: ExactContext, marks: ExactMarks = noMarks): void {
  const { config, weights, sequence, a } = c;
  const { hiddenSize: D, intermediateSize: F } = config;
  const table = weights.embedTokens;
  for (const { firstColumn: firstRow, N: rows, weight } of table.pieces)
    recordKernel(
      recorder,
      exactEmbedding,
      { ids: sequence.ids, table: weight, out: a.x },
      { dtype: table.dtype, D, firstRow, rows },
      { label: "embeddings" },
    );
  marks.mark("embeddings", a.x);
  weights.layers.forEach((layer, i) => {
    const at = `layers.${i}.`;
    const tap = (name: LayerTapName, buffer: GPUBuffer): void => marks.mark(at + name, buffer);
    recordNormed(recorder, c, layer.inputLayernorm, layer.qProj, marks, `${at}inputLayernorm`);
    recordAttention(recorder, c, i, marks, tap);
    recordBranch(recorder, c, layer.oProj, 3, marks, `${at}attentionOutput`);
    tap("attentionResidual", a.x);

    recordNormed(recorder, c, layer.postAttentionLayernorm, layer.gateProj, marks, `${at}postAttentionLayernorm`);
    const { gateUp } = weights.joined[i]!;
    if (c.oneRow && gateUp && D <= MOST_ROW_INPUTS)
      recordRow(recorder, c, gateUp, a.gate, { P: 3, adds: false, paired: true }, `${at}gateUp`);
    else {
      recordLinear(recorder, c, layer.gateProj, a.gate, {}, `${at}gate`);
      tap("gate", a.gate);
      recordLinear(recorder, c, layer.upProj, a.up, {}, `${at}up`);
      tap("up", a.up);
      recordKernel(recorder, exactSiluMul, { gate: a.gate, up: a.up }, { width: F }, { label: `${at}siluMul` });
    }
    tap("siluMul", a.gate);
    recordDigits(recorder, c, a.gate, layer.downProj, 4, `${at}siluMul`);
    recordBranch(recorder, c, layer.downProj, 4, marks, `${at}mlp`);
    tap("residual", a.x);
  });
}

/** a.x += the linear of the digits; by way of a.branch where that is looked at. */
function recordBranch(recorder: Recorder, c: ExactContext, linear: ExactGpuLinear, P: Digits, marks: ExactMarks, name: string): void {
  const { a, config } = c;
  if (!marks.wants(name)) {
    recordLinear(recorder, c, linear, a.x, { P, adds: true }, name);
    return;
  }
  recordLinear(recorder, c, linear, a.branch, { P }, name);
  marks.mark(name, a.branch);
  recordKernel(recorder, exactAdd, { x: a.x, y: a.branch }, { width: config.hiddenSize }, { label: name });
}

/** What a device must run for prompts to go by matrices. */
export const matrixKernels: readonly Needs[] = [exactAwqMatrix, exactAwqMatrix4];

/** a.digits = those of the attention's output; writes layer i of the cache. */
function recordAttention(
  recorder: Recorder,
  c: ExactContext,
  i: number,
  marks: ExactMarks,
  tap: (name: LayerTapName, buffer: GPUBuffer) => void,
): void {
  const { a, config, sequence, weights } = c;
  const { step, table, maxContext } = sequence;
  const layer = weights.layers[i]!;
  const at = `layers.${i}.`;
  const shape = shapeOf(config);
  const { qkv } = weights.joined[i]!;
  const joined = c.oneRow && qkv && config.hiddenSize <= MOST_ROW_INPUTS ? a.qkv : null;
  if (joined) recordRow(recorder, c, qkv!, joined.all, { P: 3, adds: false, paired: false }, `${at}qkv`);
  else {
    recordLinear(recorder, c, layer.qProj, a.q, {}, `${at}q`);
    tap("q", a.q);
    recordLinear(recorder, c, layer.kProj, a.k, {}, `${at}k`);
    tap("k", a.k);
    recordLinear(recorder, c, layer.vProj, a.v, {}, `${at}v`);
    tap("v", a.v);
  }
  const [keys, values, exponents] = [sequence.keys[i]!, sequence.values[i]!, sequence.exponents[i]!];
  const { queries, scores, stats } = a;
  const { v } = joined ?? a;
  const headNorm = { D: shape.Hd, inverse: bitsOf(nearest(1 / shape.Hd)), eps: bitsOf(nearest(config.rmsNormEps)) };
  if (layer.qNorm) {
    const buffers = { step, x: joined?.q ?? a.q, weight: layer.qNorm, out: a.qNormed };
    recordKernel(recorder, exactNorm, buffers, { ...headNorm, heads: shape.H }, { label: `${at}qNorm` });
    tap("qNorm", a.qNormed);
  }
  if (layer.kNorm) {
    const buffers = { step, x: joined?.k ?? a.k, weight: layer.kNorm, out: a.kNormed };
    recordKernel(recorder, exactNorm, buffers, { ...headNorm, heads: shape.G }, { label: `${at}kNorm` });
    tap("kNorm", a.kNormed);
  }
  const q = layer.qNorm ? a.qNormed : a.q;
  const k = layer.kNorm ? a.kNormed : a.k;
  const turned = { q: joined && !layer.qNorm ? joined.q : q, k: joined && !layer.kNorm ? joined.k : k };
  const factor = bitsOf(scoreFactor(shape.Hd));
  // One row takes one dispatch as long as a workgroup holds its scores.
  const positions: Span = { from: c.oneRow ? ROW_KEYS : 0, to: Infinity };
  const held: Span = { from: 0, to: ROW_KEYS };
  const buffers = { step, ...turned, v, table, queries, keys, values, exponents };
  if (c.oneRow)
    recordKernel(
      recorder,
      exactAttentionRow,
      { ...buffers, out: a.attention },
      { ...shape, factor },
      { label: `${at}attention`, positions: held },
    );
  recordKernel(recorder, exactRope, buffers, { ...shape, factor }, { label: `${at}qRope`, positions });
  tap("qRope", q);
  tap("kRope", k);
  const part = (first: number, rows: number): ExactAttentionPart => ({ ...shape, stride: maxContext, first, rows });
  if (marks.shares && marks.wants(`${at}attentionWeights`)) {
    const all = part(0, a.rows);
    recordKernel(recorder, exactScores, { step, queries, keys, exponents, scores: marks.shares }, all, { label: `${at}attentionWeights` });
    recordKernel(
      recorder,
      exactSoftmax,
      { step, exponents, scores: marks.shares, stats },
      { ...all, shares: true },
      { label: `${at}attentionWeights` },
    );
    tap("attentionWeights", marks.shares);
  }
  for (let first = 0; first < (c.oneRow ? 1 : a.rows); first += a.attentionRows) {
    const some = part(first, a.attentionRows);
    const when = { label: `${at}attention`, positions };
    recordKernel(recorder, exactScores, { step, queries, keys, exponents, scores }, some, when);
    recordKernel(recorder, exactSoftmax, { step, exponents, scores, stats }, some, when);
    recordKernel(recorder, exactMix, { step, scores, stats, values, out: a.attention }, some, when);
  }
  tap("attention", a.attention);
  recordDigits(recorder, c, a.attention, layer.oProj, 3, `${at}attention`);
}

/** Final norm and logits [V] of row T − 1, or [T, V] of every row, into `out`. */
export function recordExactHead(recorder: Recorder, c: ExactContext, out: GPUBuffer, lastRow: boolean, marks: ExactMarks = noMarks): void {
  const { a, config, weights, sequence } = c;
  const { hiddenSize: D } = config;
  const norm = { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(nearest(config.rmsNormEps)), lastRow };
  recordKernel(recorder, exactNorm, { step: sequence.step, x: a.x, weight: weights.norm, out: a.normed }, norm, { label: "finalNorm" });
  marks.mark("finalNorm", a.normed);
  const first = recorder.dispatches.length;
  recordDigits(recorder, c, a.normed, { weight: weights.lmHead }, 3, "finalNorm");
  recordLinear(recorder, c, { weight: weights.lmHead, bias: null }, out, { oneRow: lastRow }, "logits");
  if (!lastRow) return;
  for (let i = first; i < recorder.dispatches.length; i++) {
    const dispatch = recorder.dispatches[i]!;
    recorder.dispatches[i] = { ...dispatch, workgroups: (_T, start) => dispatch.workgroups(1, start) };
  }
}

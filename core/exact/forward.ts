/**
 * The Llama forward pass in `exact`: the steps of core/model/llama.ts under the same names, every number defined to its last bit
 * (docs/exact.md). The result does not depend on how many ids are fed at a time.
 */
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { biasParts, type ListedPart, plainParts, unlistedPart } from "../model/layer.ts";
import { type Taps, tapShape } from "../model/trace.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { embedding } from "../ops/embedding.ts";
import type { DenseMatrix } from "../tensor.ts";
import { attention, cacheRows, type FixedCache } from "./attention.ts";
import { rmsNorm } from "./norm.ts";
import { add, clean, nearest } from "./numbers.ts";
import type { ExactLinearOp, ExactOps } from "./ops.ts";
import { type ExactRopeTables, exactRopeTables, rotate, scoreFactor } from "./rope.ts";
import type { Width } from "./rows.ts";

/** The version of the definition that this computes: part of every receipt. */
export const EXACT_VERSION = 1;

/** Parts of a layer that the definition has; a model with another is refused. */
export const exactParts: readonly ListedPart[] = [...plainParts, ...biasParts, "qNorm", "kNorm"];

/** What the definition is proved for: sums stay inside their integers up to here. */
export const EXACT_LIMITS: Readonly<Record<"positions" | "inFeatures" | "headDim" | "vocabulary", number>> = {
  positions: 131072,
  inFeatures: 65536,
  headDim: 256,
  vocabulary: 2 ** 20 - 1,
};

/** Digits of a linear's input: down_proj's holds the largest outliers of a model, and gets one more. */
export const INPUT_WIDTH: Width = 24;
export const DOWN_WIDTH: Width = 32;

interface ExactLayer {
  readonly inputLayernorm: Float32Array;
  readonly qProj: ExactLinearOp;
  readonly kProj: ExactLinearOp;
  readonly vProj: ExactLinearOp;
  readonly oProj: ExactLinearOp;
  readonly qNorm: Float32Array | null;
  readonly kNorm: Float32Array | null;
  readonly postAttentionLayernorm: Float32Array;
  readonly gateProj: ExactLinearOp;
  readonly upProj: ExactLinearOp;
  readonly downProj: ExactLinearOp;
}

/** Weights brought to the form that the arithmetic works on, once a model. */
export interface ExactWeights {
  readonly embedTokens: DenseMatrix;
  readonly layers: readonly ExactLayer[];
  readonly norm: Float32Array;
  readonly lmHead: ExactLinearOp;
}

export interface ExactCache {
  length: number;
  capacity: number;
  layers: readonly FixedCache[];
}

/** @throws GureumError "limit" for a model beyond what the definition covers */
export function checkExactLimits(config: LlamaConfig): void {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, headDim: Hd, vocabSize: V } = config;
  const check = (what: string, got: number, most: number): void => {
    if (got > most)
      throw new GureumError("limit", {
        where: "arithmetic exact",
        what,
        expected: `at most ${most}`,
        got: `${got}`,
        remedy: "use another arithmetic",
      });
  };
  check("inputs of a linear layer", Math.max(D, F, H * Hd), EXACT_LIMITS.inFeatures);
  check("head_dim", Hd, EXACT_LIMITS.headDim);
  check("vocab_size", V, EXACT_LIMITS.vocabulary);
}

/** @throws GureumError "limit" for a context beyond what the definition covers */
export function checkExactContext(maxContext: number): void {
  if (maxContext > EXACT_LIMITS.positions)
    throw new GureumError("limit", {
      where: "arithmetic exact",
      what: "context",
      expected: `at most ${EXACT_LIMITS.positions} positions`,
      got: `${maxContext}`,
      remedy: "ask for a shorter context, or use another arithmetic",
    });
}

/** @throws GureumError "limit", "unsupported" for a part of a layer that the definition does not have */
export function exactWeights(config: LlamaConfig, weights: LlamaWeights, ops: ExactOps): ExactWeights {
  checkExactLimits(config);
  const part = unlistedPart(weights.layers, exactParts);
  if (part)
    throw new GureumError("unsupported", {
      where: "arithmetic exact",
      what: `it does not compute ${part}, a part of ${config.architecture}`,
      remedy: "use another arithmetic",
    });
  return {
    embedTokens: weights.embedTokens,
    layers: weights.layers.map((layer) => ({
      inputLayernorm: layer.inputLayernorm.map(clean),
      qProj: ops.linear(layer.qProj),
      kProj: ops.linear(layer.kProj),
      vProj: ops.linear(layer.vProj),
      oProj: ops.linear(layer.oProj),
      qNorm: layer.qNorm === null ? null : layer.qNorm.map(clean),
      kNorm: layer.kNorm === null ? null : layer.kNorm.map(clean),
      postAttentionLayernorm: layer.postAttentionLayernorm.map(clean),
      gateProj: ops.linear(layer.gateProj),
      upProj: ops.linear(layer.upProj),
      downProj: ops.linear(layer.downProj),
    })),
    norm: weights.norm.map(clean),
    lmHead: ops.linear({ weight: weights.lmHead, bias: null }),
  };
}

export const makeExactCache = (): ExactCache => ({ length: 0, capacity: 0, layers: [] });

/** What the first `length` positions of one cache hold, in the arrays of another. */
function fill(
  layers: readonly FixedCache[],
  from: readonly FixedCache[],
  length: number,
  { numKeyValueHeads: G, headDim: Hd }: LlamaConfig,
): void {
  for (const [i, { keys, values, keyExponents, valueExponents }] of from.entries()) {
    layers[i]!.keys.set(keys.subarray(0, length * G * Hd));
    layers[i]!.values.set(values.subarray(0, length * G * Hd));
    layers[i]!.keyExponents.set(keyExponents.subarray(0, length * G));
    layers[i]!.valueExponents.set(valueExponents.subarray(0, length * G));
  }
}

/** Another cache with the same positions. */
export function copyOfExact(cache: ExactCache, ops: ExactOps, config: LlamaConfig): ExactCache {
  const copy = makeExactCache();
  if (cache.length === 0) return copy;
  reserve(copy, ops, config, cache.length);
  fill(copy.layers, cache.layers, cache.length, config);
  copy.length = cache.length;
  return copy;
}

/** Forgets everything and gives the arrays back. */
export function dropExact(cache: ExactCache, ops: ExactOps): void {
  if (cache.capacity > 0) ops.dropCache(cache.layers);
  cache.layers = [];
  cache.capacity = 0;
  cache.length = 0;
}

/** Makes room for `positions`; what is there stays. */
export function reserve(cache: ExactCache, ops: ExactOps, config: LlamaConfig, positions: number): void {
  if (positions <= cache.capacity) return;
  const capacity = Math.max(positions, 2 * cache.capacity, 64);
  const layers = ops.makeCache(config, capacity);
  fill(layers, cache.layers, cache.length, config);
  if (cache.capacity > 0) ops.dropCache(cache.layers);
  cache.layers = layers;
  cache.capacity = capacity;
}

/** The numbers of a config that the arithmetic works with. */
export interface ExactConstants {
  readonly tables: ExactRopeTables;
  /** log₂ e / √Hd */
  readonly factor: number;
  readonly eps: number;
}

/** @throws GureumError "limit", "unsupported" */
export function exactConstants(config: LlamaConfig, maxContext: number): ExactConstants {
  checkExactContext(maxContext);
  return {
    tables: exactRopeTables(config, maxContext),
    factor: scoreFactor(config.headDim),
    eps: nearest(config.rmsNormEps),
  };
}

/** Rows of one sequence, at positions cache.length …. */
export interface ExactSpan {
  readonly cache: ExactCache;
  readonly tables: ExactRopeTables;
  readonly rows: number;
}

/**
 * Feeds `ids`, the rows of one sequence or of several one after the other; logits [rows, V] of the last `rows` of them. Each cache
 * has room for its rows (`reserve`) and grows by them.
 * @throws GureumError "range" for an id outside the vocabulary, "unsupported" for a hook on attention weights
 */
export function exactForward(
  ops: ExactOps,
  config: LlamaConfig,
  weights: ExactWeights,
  { factor, eps }: Omit<ExactConstants, "tables">,
  spans: readonly ExactSpan[],
  ids: ArrayLike<number>,
  rows: number,
  taps: Taps,
): Float32Array {
  const T = ids.length;
  const start = spans[0]!.cache.length;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, vocabSize: V } = config;
  /** Hands a value on; what a hook puts in its place enters as every other number from outside. */
  const tap = (name: string, data: Float32Array, count: number = T): void => {
    if (!taps.wants(name)) return;
    taps.visit(name, tapShape(config, name, count, start + T), data);
    if (taps.steers(name)) for (let i = 0; i < data.length; i++) data[i] = clean(data[i]!);
  };
  const f32 = (width: number): Float32Array => new Float32Array(T * width);
  const accumulate = (x: Float32Array, y: Float32Array): void => {
    for (let i = 0; i < x.length; i++) x[i] = add(x[i]!, y[i]!);
  };
  const x = f32(D);
  const normed = f32(D);
  const [q, k, v] = [f32(H * Hd), f32(G * Hd), f32(G * Hd)] as const;
  const mixed = f32(H * Hd);
  const branch = f32(D);
  const [gate, up] = [f32(F), f32(F)] as const;
  const shape = { H, G, Hd, window: config.slidingWindow };

  embedding(x, weights.embedTokens, ids);
  for (let i = 0; i < x.length; i++) x[i] = clean(x[i]!);
  tap("embeddings", x);
  weights.layers.forEach((layer, i) => {
    const at = `layers.${i}.`;
    rmsNorm(normed, x, layer.inputLayernorm, eps, T);
    tap(`${at}inputLayernorm`, normed);
    layer.qProj(q, normed, T, INPUT_WIDTH);
    tap(`${at}q`, q);
    layer.kProj(k, normed, T, INPUT_WIDTH);
    tap(`${at}k`, k);
    layer.vProj(v, normed, T, INPUT_WIDTH);
    tap(`${at}v`, v);
    if (layer.qNorm) {
      rmsNorm(q, q, layer.qNorm, eps, T * H);
      tap(`${at}qNorm`, q);
    }
    if (layer.kNorm) {
      rmsNorm(k, k, layer.kNorm, eps, T * G);
      tap(`${at}kNorm`, k);
    }
    let first = 0;
    for (const { cache, tables, rows } of spans) {
      const rowsOf = (values: Float32Array, width: number): Float32Array => values.subarray(first * width, (first + rows) * width);
      const [qs, ks, vs] = [rowsOf(q, H * Hd), rowsOf(k, G * Hd), rowsOf(v, G * Hd)] as const;
      const before = cache.length;
      rotate(qs, tables, before, rows, H);
      tap(`${at}qRope`, qs);
      rotate(ks, tables, before, rows, G);
      tap(`${at}kRope`, ks);
      cacheRows(cache.layers[i]!, ks, vs, before, rows, G, Hd);
      const watched = taps.wants(`${at}attentionWeights`) ? new Float32Array(T * H * (start + T)) : undefined;
      if (!watched) ops.attention(rowsOf(mixed, H * Hd), qs, cache.layers[i]!, before, rows, shape, factor);
      else {
        attention(rowsOf(mixed, H * Hd), qs, cache.layers[i]!, before, rows, shape, factor, watched);
        if (taps.steers(`${at}attentionWeights`)) throw noSuchHook(`${at}attentionWeights`);
        tap(`${at}attentionWeights`, watched);
      }
      first += rows;
    }
    tap(`${at}attention`, mixed);
    layer.oProj(branch, mixed, T, INPUT_WIDTH);
    tap(`${at}attentionOutput`, branch);
    accumulate(x, branch);
    tap(`${at}attentionResidual`, x);

    rmsNorm(normed, x, layer.postAttentionLayernorm, eps, T);
    tap(`${at}postAttentionLayernorm`, normed);
    layer.gateProj(gate, normed, T, INPUT_WIDTH);
    tap(`${at}gate`, gate);
    layer.upProj(up, normed, T, INPUT_WIDTH);
    tap(`${at}up`, up);
    ops.siluMul(gate, up);
    tap(`${at}siluMul`, gate);
    layer.downProj(branch, gate, T, DOWN_WIDTH);
    tap(`${at}mlp`, branch);
    accumulate(x, branch);
    tap(`${at}residual`, x);
  });
  for (const { cache, rows } of spans) cache.length += rows;

  const logits = new Float32Array(rows * V);
  if (rows === 0) return logits;
  rmsNorm(normed, x, weights.norm, eps, T);
  tap("finalNorm", normed);
  weights.lmHead(logits, normed.subarray((T - rows) * D), rows, INPUT_WIDTH);
  tap("logits", logits, rows);
  return logits;
}

const noSuchHook = (where: string): GureumError =>
  new GureumError("unsupported", {
    where: `steer > ${where}`,
    what: "the arithmetic exact mixes values with integers of its own, not with these weights",
    remedy: "steer attention or v instead, or use another arithmetic",
  });

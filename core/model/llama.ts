/**
 * The Llama forward pass on the CPU: the reference. Activations are f32, every sum is taken in f64 and rounded once, so
 * the result does not depend on how many tokens are fed at a time.
 * Source: Touvron et al. 2023, arXiv 2302.13971; Hugging Face `modeling_llama.py` (LlamaModel.forward),
 * `modeling_qwen3.py` (norms of heads).
 */

import type { LlamaConfig } from "../config.ts";
import { add } from "../ops/add.ts";
import { type AttentionShape, attentionMix, attentionWeights } from "../ops/attention.ts";
import { embedding } from "../ops/embedding.ts";
import { type RopeTables, rope } from "../ops/rope.ts";
import { siluMul } from "../ops/silu-mul.ts";
import type { KvCache } from "./kv-cache.ts";
import type { CpuOps } from "./ops.ts";
import { type Taps, tapShape } from "./trace.ts";
import type { LayerWeights, LlamaWeights } from "./weights.ts";

/** Buffers for up to T tokens at once; one set serves every layer and token. */
export interface Activations {
  readonly T: number;
  /** [T, D] the residual stream */
  readonly x: Float32Array;
  /** [T, D] */
  readonly normed: Float32Array;
  /** [T, H, Hd], [T, G, Hd], [T, G, Hd] */
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** [T, H · Hd] */
  readonly attention: Float32Array;
  /** [T, D] what a block adds to the residual stream */
  readonly branch: Float32Array;
  /** [T, F] */
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

export function makeActivations(config: LlamaConfig, T: number): Activations {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const f32 = (length: number): Float32Array => new Float32Array(length);
  return {
    T,
    x: f32(T * D),
    normed: f32(T * D),
    q: f32(T * H * Hd),
    k: f32(T * G * Hd),
    v: f32(T * G * Hd),
    attention: f32(T * H * Hd),
    branch: f32(T * D),
    gate: f32(T * F),
    up: f32(T * F),
  };
}

/** Rows of one sequence, at positions cache.length …; the cache has room for them. */
export interface Span {
  readonly cache: KvCache;
  readonly tables: RopeTables;
  readonly rows: number;
}

/**
 * Feeds `ids`, the rows of one sequence or of several one after the other, and leaves the residual stream after the last layer, before
 * the final norm, in `a.x` [T, D]. Each cache grows by its rows. Only attention looks beyond a row, and only into its own sequence.
 * @param taps of one sequence alone
 * @throws GureumError "range" for an id outside the vocabulary
 */
export function forwardLayers(
  ops: CpuOps,
  config: LlamaConfig,
  weights: LlamaWeights,
  spans: readonly Span[],
  a: Activations,
  ids: ArrayLike<number>,
  taps: Taps,
): void {
  const T = ids.length;
  const start = spans[0]!.cache.length;
  const tap = (name: string, data: Float32Array): void => {
    if (!taps.wants(name)) return;
    const shape = tapShape(config, name, T, start + T);
    taps.visit(
      name,
      shape,
      data.subarray(
        0,
        shape.reduce((p, n) => p * n, 1),
      ),
    );
  };
  // x[t] = E[ids[t]]: each id's row of the embedding.
  embedding(a.x, weights.embedTokens, ids);
  tap("embeddings", a.x);
  for (let i = 0; i < weights.layers.length; i++) forwardLayer(ops, config, weights.layers[i]!, spans, i, a, T, tap, taps.wants);
  for (const { cache, rows } of spans) cache.length += rows;
}

/**
 * Layer i on the T rows of `a.x`, in place, as forwardLayers has them; writes layer i of the caches, which have room.
 * `tap` sees each value under its full name; `wants` says which of them somebody looks at.
 */
export function forwardLayer(
  ops: CpuOps,
  config: LlamaConfig,
  layer: LayerWeights,
  spans: readonly Span[],
  i: number,
  a: Activations,
  T: number,
  tap: (name: string, data: Float32Array) => void,
  wants: (name: string) => boolean,
): void {
  const { hiddenSize: D, rmsNormEps: eps } = config;
  const at = `layers.${i}.`;
  // Each block reads a normalized copy of the residual stream x …
  ops.rmsNorm(a.normed, a.x, layer.inputLayernorm, eps, T);
  tap(`${at}inputLayernorm`, a.normed);
  // … and what it makes of it is added to x. First the attention:
  selfAttention(ops, config, layer, spans, i, a, T, (name, data) => tap(at + name, data), wants(`${at}attentionWeights`));
  tap(`${at}attentionOutput`, a.branch);
  add(a.x, a.x, a.branch, T * D);
  tap(`${at}attentionResidual`, a.x);

  // Then the feed-forward network:
  ops.rmsNorm(a.normed, a.x, layer.postAttentionLayernorm, eps, T);
  tap(`${at}postAttentionLayernorm`, a.normed);
  feedForward(ops, config, layer, a, T, (name, data) => tap(at + name, data));
  tap(`${at}mlp`, a.branch);
  add(a.x, a.x, a.branch, T * D);
  tap(`${at}residual`, a.x);
}

/** a.branch = W_down (silu(W_gate x) ∘ W_up x) of x = a.normed. */
export function feedForward(
  ops: CpuOps,
  config: LlamaConfig,
  layer: LayerWeights,
  a: Activations,
  T: number,
  tap: (name: string, data: Float32Array) => void,
): void {
  ops.linear(a.gate, a.normed, layer.gateProj, T);
  tap("gate", a.gate);
  ops.linear(a.up, a.normed, layer.upProj, T);
  tap("up", a.up);
  siluMul(a.gate, a.gate, a.up, T * config.intermediateSize);
  tap("siluMul", a.gate);
  ops.linear(a.branch, a.gate, layer.downProj, T);
}

/** a.branch = W_o attention(W_q x, W_k x, W_v x) of x = a.normed; writes layer i of the caches. */
export function selfAttention(
  ops: CpuOps,
  config: LlamaConfig,
  layer: LayerWeights,
  spans: readonly Span[],
  i: number,
  a: Activations,
  T: number,
  tap: (name: string, data: Float32Array) => void,
  wantsWeights: boolean,
): void {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow } = config;
  // Queries for H heads; keys and values for G, each of which H / G query heads share.
  ops.linear(a.q, a.normed, layer.qProj, T);
  tap("q", a.q);
  ops.linear(a.k, a.normed, layer.kProj, T);
  tap("k", a.k);
  ops.linear(a.v, a.normed, layer.vProj, T);
  tap("v", a.v);
  // Qwen3 normalizes each head of q and of k.
  if (layer.qNorm) {
    ops.rmsNorm(a.q, a.q, layer.qNorm, eps, T * H);
    tap("qNorm", a.q);
  }
  if (layer.kNorm) {
    ops.rmsNorm(a.k, a.k, layer.kNorm, eps, T * G);
    tap("kNorm", a.k);
  }
  const shape: AttentionShape = { H, G, Hd, window: slidingWindow };
  const rowsOf = (x: Float32Array, width: number, first: number, rows: number): Float32Array =>
    x.subarray(first * width, (first + rows) * width);
  let first = 0;
  for (const { cache, tables, rows } of spans) {
    const start = cache.length;
    const [q, k, v] = [rowsOf(a.q, H * Hd, first, rows), rowsOf(a.k, G * Hd, first, rows), rowsOf(a.v, G * Hd, first, rows)] as const;
    // RoPE turns pairs of components by an angle that grows with the position, so that q · k depends on the distance
    // alone.
    rope(q, q, tables, start, rows, H);
    tap("qRope", q);
    rope(k, k, tables, start, rows, G);
    tap("kRope", k);
    // Keys and values stay for all later tokens.
    const keys = cache.arrays.keys[i]!;
    const values = cache.arrays.values[i]!;
    keys.set(k, start * G * Hd);
    values.set(v, start * G * Hd);

    // softmax(q · k / √Hd) over the positions up to each query's own, then the values mixed by these weights.
    const mixed = rowsOf(a.attention, H * Hd, first, rows);
    if (wantsWeights) {
      // Somebody looks at the weights between the two steps.
      const S = start + rows;
      const weights = new Float32Array(rows * H * S);
      attentionWeights(weights, q, 0, keys, start, rows, shape, new Float64Array(S));
      tap("attentionWeights", weights);
      attentionMix(mixed, 0, weights, values, start, rows, shape, new Float64Array(Hd));
    } else ops.attention(mixed, q, keys, values, start, rows, shape);
    tap("attention", mixed);
    first += rows;
  }
  // The heads' results side by side become what is added to the residual stream.
  ops.linear(a.branch, a.attention, layer.oProj, T);
}

/**
 * logits [rows, V] of the last `rows` of the T positions in `a.x`.
 * logits = rmsNorm(x) · lm_headᵀ
 */
export function forwardHead(
  ops: CpuOps,
  config: LlamaConfig,
  weights: LlamaWeights,
  a: Activations,
  T: number,
  rows: number,
  logits: Float32Array,
  taps: Taps,
): void {
  const { hiddenSize: D, rmsNormEps: eps, vocabSize: V } = config;
  // The residual stream, normalized once more …
  ops.rmsNorm(a.normed, a.x, weights.norm, eps, T);
  if (taps.wants("finalNorm")) taps.visit("finalNorm", [T, D], a.normed.subarray(0, T * D));
  // … against each row of the head: one score for each id of the vocabulary.
  ops.matmul(logits, a.normed.subarray((T - rows) * D, T * D), weights.lmHead, null, rows);
  if (taps.wants("logits")) taps.visit("logits", [rows, V], logits.subarray(0, rows * V));
}

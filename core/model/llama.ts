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
import { linear } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { type RopeTables, rope } from "../ops/rope.ts";
import { siluMul } from "../ops/silu-mul.ts";
import { type KvCache, reserve } from "./kv-cache.ts";
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
  /** [≤ T, H, S]: attention weights of some query rows; grows with the context */
  weights: Float32Array;
  /** [S] and [Hd] scratch */
  scores: Float64Array;
  readonly sums: Float64Array;
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
    weights: f32(0),
    scores: new Float64Array(0),
    sums: new Float64Array(Hd),
  };
}

/** Elements of attention weights computed at a time where nobody looks at them. */
const WEIGHTS_AT_ONCE = 1 << 20;

/**
 * Feeds `ids` at positions cache.length … and leaves the residual stream after the last layer, before the final norm,
 * in `a.x` [T, D]. The cache grows by T.
 * @throws GureumError "range" for an id outside the vocabulary
 */
export function forwardLayers(
  config: LlamaConfig,
  weights: LlamaWeights,
  tables: RopeTables,
  cache: KvCache,
  a: Activations,
  ids: ArrayLike<number>,
  taps: Taps,
): void {
  const T = ids.length;
  const start = cache.length;
  const { hiddenSize: D, rmsNormEps: eps } = config;
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
  reserve(cache, config, start + T);
  for (let i = 0; i < weights.layers.length; i++) {
    const layer = weights.layers[i]!;
    const at = `layers.${i}.`;
    // Each block reads a normalized copy of the residual stream x …
    rmsNorm(a.normed, a.x, layer.inputLayernorm, eps, T);
    tap(`${at}inputLayernorm`, a.normed);
    // … and what it makes of it is added to x. First the attention:
    selfAttention(config, layer, tables, cache, i, a, T, (name, data) => tap(at + name, data), taps.wants(`${at}attentionWeights`));
    tap(`${at}attentionOutput`, a.branch);
    add(a.x, a.x, a.branch, T * D);
    tap(`${at}attentionResidual`, a.x);

    // Then the feed-forward network, down(silu(gate(x)) ∘ up(x)):
    rmsNorm(a.normed, a.x, layer.postAttentionLayernorm, eps, T);
    tap(`${at}postAttentionLayernorm`, a.normed);
    linear(a.gate, a.normed, layer.gateProj, T);
    tap(`${at}gate`, a.gate);
    linear(a.up, a.normed, layer.upProj, T);
    tap(`${at}up`, a.up);
    siluMul(a.gate, a.gate, a.up, T * config.intermediateSize);
    tap(`${at}siluMul`, a.gate);
    linear(a.branch, a.gate, layer.downProj, T);
    tap(`${at}mlp`, a.branch);
    add(a.x, a.x, a.branch, T * D);
    tap(`${at}residual`, a.x);
  }
  cache.length = start + T;
}

/** a.branch = W_o attention(W_q x, W_k x, W_v x) of x = a.normed; writes layer i of the cache. */
function selfAttention(
  config: LlamaConfig,
  layer: LayerWeights,
  tables: RopeTables,
  cache: KvCache,
  i: number,
  a: Activations,
  T: number,
  tap: (name: string, data: Float32Array) => void,
  wantsWeights: boolean,
): void {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow } = config;
  const start = cache.length;
  const S = start + T;
  // Queries for H heads; keys and values for G, each of which H / G query heads share.
  linear(a.q, a.normed, layer.qProj, T);
  tap("q", a.q);
  linear(a.k, a.normed, layer.kProj, T);
  tap("k", a.k);
  linear(a.v, a.normed, layer.vProj, T);
  tap("v", a.v);
  // Qwen3 normalizes each head of q and of k.
  if (layer.qNorm) {
    rmsNorm(a.q, a.q, layer.qNorm, eps, T * H);
    tap("qNorm", a.q);
  }
  if (layer.kNorm) {
    rmsNorm(a.k, a.k, layer.kNorm, eps, T * G);
    tap("kNorm", a.k);
  }
  // RoPE turns pairs of components by an angle that grows with the position, so that q · k depends on the distance
  // alone.
  rope(a.q, a.q, tables, start, T, H);
  tap("qRope", a.q);
  rope(a.k, a.k, tables, start, T, G);
  tap("kRope", a.k);
  // Keys and values stay for all later tokens.
  const keys = cache.keys[i]!;
  const values = cache.values[i]!;
  keys.set(a.k.subarray(0, T * G * Hd), start * G * Hd);
  values.set(a.v.subarray(0, T * G * Hd), start * G * Hd);

  // softmax(q · k / √Hd) over the positions up to each query's own, then the values mixed by these weights: for some
  // query rows at a time, so that a long prompt does not need T · H · S weights.
  const shape: AttentionShape = { H, G, Hd, window: slidingWindow };
  const rows = wantsWeights ? T : Math.max(1, Math.min(T, Math.floor(WEIGHTS_AT_ONCE / (H * S))));
  if (a.weights.length < rows * H * S) a.weights = new Float32Array(Math.max(rows * H * S, 2 * a.weights.length));
  if (a.scores.length < S) a.scores = new Float64Array(Math.max(S, 2 * a.scores.length));
  for (let t = 0; t < T; t += rows) {
    const count = Math.min(rows, T - t);
    attentionWeights(a.weights, a.q, t * H * Hd, keys, start + t, count, shape, a.scores);
    if (wantsWeights) tap("attentionWeights", a.weights);
    attentionMix(a.attention, t * H * Hd, a.weights, values, start + t, count, shape, a.sums);
  }
  tap("attention", a.attention);
  // The heads' results side by side become what is added to the residual stream.
  linear(a.branch, a.attention, layer.oProj, T);
}

/**
 * logits [rows, V] of the last `rows` of the T positions in `a.x`.
 * logits = rmsNorm(x) · lm_headᵀ
 */
export function forwardHead(
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
  rmsNorm(a.normed, a.x, weights.norm, eps, T);
  if (taps.wants("finalNorm")) taps.visit("finalNorm", [T, D], a.normed.subarray(0, T * D));
  // … against each row of the head: one score for each id of the vocabulary.
  matmul(logits, a.normed.subarray((T - rows) * D, T * D), weights.lmHead, null, rows);
  if (taps.wants("logits")) taps.visit("logits", [rows, V], logits.subarray(0, rows * V));
}

/**
 * Causal grouped-query attention over a cache, in two steps so that the weights between them can be looked at and
 * replaced.
 * Source: Vaswani et al. 2017, arXiv 1706.03762, eq. 1; Ainslie et al. 2023, arXiv 2305.13245 (grouped queries);
 * Hugging Face `modeling_llama.py` (eager_attention_forward). Sliding window: Jiang et al. 2023, arXiv 2310.06825.
 */
import { checkLength } from "../tensor.ts";
import { softmax } from "./softmax.ts";

/** H query heads share G key/value heads: head h reads group ⌊h · G / H⌋. */
export interface AttentionShape {
  /** Heads of queries. */
  readonly H: number;
  /** Heads of keys and values. */
  readonly G: number;
  /** Width of a head. */
  readonly Hd: number;
  /** A query at position t sees keys at max(0, t − window + 1) .. t; null: 0 .. t. */
  readonly window: number | null;
}

const firstVisible = (position: number, window: number | null): number => (window === null ? 0 : Math.max(0, position - window + 1));

/**
 * weights[t, h, s] = softmax_s(q[t, h] · k[s, g(h)] / √Hd) over the keys that position start + t sees, 0 elsewhere.
 * q [T, H, Hd], k [≥ start + T, G, Hd], weights [T, H, S] with S = start + T; all f32, scores and softmax in f64,
 * one rounding. `scores` is scratch for S numbers.
 * @throws GureumError "shape"
 */
export function attentionWeights(
  weights: Float32Array,
  q: Float32Array,
  qOffset: number,
  k: Float32Array,
  start: number,
  T: number,
  shape: AttentionShape,
  scores: Float64Array,
): void {
  const { H, G, Hd, window } = shape;
  const S = start + T;
  checkLength("attention", "q", q, qOffset + T * H * Hd);
  checkLength("attention", "k", k, S * G * Hd);
  checkLength("attention", "weights", weights, T * H * S);
  checkLength("attention", "scores", scores, S);
  const scale = 1 / Math.sqrt(Hd);
  for (let t = 0; t < T; t++) {
    const last = start + t;
    const first = firstVisible(last, window);
    for (let h = 0; h < H; h++) {
      const query = qOffset + (t * H + h) * Hd;
      const group = Math.floor((h * G) / H);
      for (let s = first; s <= last; s++) {
        const key = (s * G + group) * Hd;
        let dot = 0;
        for (let i = 0; i < Hd; i++) dot += q[query + i]! * k[key + i]!;
        scores[s] = dot * scale;
      }
      const row = (t * H + h) * S;
      weights.fill(0, row, row + S);
      softmax(weights, row + first, scores, first, last - first + 1);
    }
  }
}

/**
 * out[t, h, :] = Σ_s weights[t, h, s] · v[s, g(h), :]; out [T, H, Hd] f32, sums in f64 in ascending s, one rounding.
 * `sums` is scratch for Hd numbers.
 * @throws GureumError "shape"
 */
export function attentionMix(
  out: Float32Array,
  outOffset: number,
  weights: Float32Array,
  v: Float32Array,
  start: number,
  T: number,
  shape: AttentionShape,
  sums: Float64Array,
): void {
  const { H, G, Hd, window } = shape;
  const S = start + T;
  checkLength("attention", "out", out, outOffset + T * H * Hd);
  checkLength("attention", "v", v, S * G * Hd);
  checkLength("attention", "weights", weights, T * H * S);
  checkLength("attention", "sums", sums, Hd);
  for (let t = 0; t < T; t++) {
    const last = start + t;
    for (let h = 0; h < H; h++) {
      const row = (t * H + h) * S;
      const group = Math.floor((h * G) / H);
      sums.fill(0, 0, Hd);
      for (let s = firstVisible(last, window); s <= last; s++) {
        const weight = weights[row + s]!;
        const value = (s * G + group) * Hd;
        for (let i = 0; i < Hd; i++) sums[i]! += weight * v[value + i]!;
      }
      const target = outOffset + (t * H + h) * Hd;
      for (let i = 0; i < Hd; i++) out[target + i] = sums[i]!;
    }
  }
}

/** Elements of attention weights computed at a time where nobody looks at them. */
const WEIGHTS_AT_ONCE = 1 << 20;
/** Scratch: weights of some query rows, a row of scores, a head's sums; they grow with the context. */
let weightsOfRows = new Float32Array(0);
let scoresOfRow = new Float64Array(0);
let sumsOfHead = new Float64Array(0);

/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g(h)] / √Hd) · v[s, g(h), :]: both steps, for some query rows at a time, so that a long
 * prompt does not need T · H · S weights.
 * @throws GureumError "shape"
 */
export function attention(
  out: Float32Array,
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  start: number,
  T: number,
  shape: AttentionShape,
): void {
  const { H, Hd } = shape;
  const S = start + T;
  const rows = Math.max(1, Math.min(T, Math.floor(WEIGHTS_AT_ONCE / (H * S))));
  if (weightsOfRows.length < rows * H * S) weightsOfRows = new Float32Array(Math.max(rows * H * S, 2 * weightsOfRows.length));
  if (scoresOfRow.length < S) scoresOfRow = new Float64Array(Math.max(S, 2 * scoresOfRow.length));
  if (sumsOfHead.length < Hd) sumsOfHead = new Float64Array(Hd);
  for (let t = 0; t < T; t += rows) {
    const count = Math.min(rows, T - t);
    attentionWeights(weightsOfRows, q, t * H * Hd, k, start + t, count, shape, scoresOfRow);
    attentionMix(out, t * H * Hd, weightsOfRows, v, start + t, count, shape, sumsOfHead);
  }
}

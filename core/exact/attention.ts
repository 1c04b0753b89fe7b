/**
 * Attention of `exact` (docs/exact.md, "Attention") over a cache of fixed rows: exact integer scores, the largest first, weights as integers
 * of 2^−46, one mix of integers. Two passes over the keys are part of the definition: an online softmax would have to rescale what it has summed.
 */
import type { AttentionShape } from "../ops/attention.ts";
import { fixedDistance, powerOfTwo, reciprocal } from "./functions.ts";
import { add, mul, nearest, nearestInteger, nearestOfHalves } from "./numbers.ts";
import { fixedRow, fixInto } from "./rows.ts";

/** Keys and values of one layer as fixed rows of 24 bits: a row per position and key/value head. Integers below 2^24 fit an f32. */
export interface FixedCache {
  /** [S, G, Hd] */
  keys: Float32Array;
  values: Float32Array;
  /** [S, G] */
  keyExponents: Int16Array;
  valueExponents: Int16Array;
}

/** Writes T rows of k and v [T, G, Hd] at position `start`. */
export function cacheRows(cache: FixedCache, k: Float32Array, v: Float32Array, start: number, T: number, G: number, Hd: number): void {
  for (let i = 0; i < T * G; i++) {
    const row = start * G + i;
    cache.keyExponents[row] = fixInto(cache.keys, row * Hd, k, i * Hd, Hd, 24);
    cache.valueExponents[row] = fixInto(cache.values, row * Hd, v, i * Hd, Hd, 24);
  }
}

/** Positions whose products f64 adds exactly: 16 + 23 + 13 bits. */
const AT_ONCE = 8192;

/**
 * out [T, H, Hd] for queries q [T, H, Hd] at positions start …, `factor` the score factor of the head size.
 * @param weights [T, H, start + T] where the attention weights are wanted, to look at: mul(rn(w), 1/Z); 0 where a query does not see a key
 */
export function attention(
  out: Float32Array,
  q: Float32Array,
  cache: FixedCache,
  start: number,
  T: number,
  { H, G, Hd, window }: AttentionShape,
  factor: number,
  weights?: Float32Array,
): void {
  const S = start + T;
  const scaled = new Float32Array(Hd);
  const scores = new Float32Array(S);
  const mixed = new Float32Array(S);
  const shares = weights ? new Float32Array(S) : undefined;
  for (let t = 0; t < T; t++) {
    const last = start + t;
    const first = window === null ? 0 : Math.max(0, last - window + 1);
    const count = last - first + 1;
    for (let h = 0; h < H; h++) {
      const g = Math.floor((h * G) / H);
      const head = (t * H + h) * Hd;
      for (let i = 0; i < Hd; i++) scaled[i] = mul(q[head + i]!, factor);
      const most = scoreRow(scores, fixedRow(scaled, 0, Hd, 24), cache, first, last, G, g, Hd);
      // Weights: 2^−d in units of 2^−46, and, times the power of two of the value's row, what the values are mixed with.
      let high = 0;
      let low = 0;
      for (let s = first; s <= last; s++) {
        const { whole, fraction } = fixedDistance(add(most, -scores[s]!));
        const W = powerOfTwo(fraction);
        const w = Math.floor(W * 2 ** (16 - whole));
        const wHigh = Math.floor(w / 65536);
        high += wHigh;
        low += w - wHigh * 65536;
        mixed[s] = w === 0 ? 0 : nearest(W * 2 ** (cache.valueExponents[s * G + g]! - 30 - whole));
        if (shares) shares[s] = w === 0 ? 0 : nearest(W * 2 ** (-30 - whole));
      }
      const inverse = reciprocal(nearestOfHalves(high, low, -46));
      if (weights) {
        const row = (t * H + h) * S;
        weights.fill(0, row, row + S);
        for (let s = first; s <= last; s++) weights[row + s] = mul(shares![s]!, inverse);
      }
      mixRow(out, head, mixed, cache, first, count, G, g, Hd, inverse);
    }
  }
}

/** scores[s] = rn(Σ q̂ k̂ · 2^(e_q + e_s)) for first ≤ s ≤ last. @returns the largest */
function scoreRow(
  scores: Float32Array,
  { values: q, exponent }: { values: Float64Array; exponent: number },
  { keys, keyExponents }: FixedCache,
  first: number,
  last: number,
  G: number,
  g: number,
  Hd: number,
): number {
  let most = -Infinity;
  for (let s = first; s <= last; s++) {
    const row = (s * G + g) * Hd;
    const e = exponent + keyExponents[s * G + g]!;
    let score = 0;
    // 23 + 23 bits a product: f64 adds 128 of them exactly, and the two halves of 256 are added as integers.
    if (Hd <= 128) {
      let dot = 0;
      for (let i = 0; i < Hd; i++) dot += q[i]! * keys[row + i]!;
      score = nearest(dot * 2 ** e);
    } else {
      let total = 0n;
      for (let from = 0; from < Hd; from += 128) {
        let dot = 0;
        for (let i = from; i < Math.min(Hd, from + 128); i++) dot += q[i]! * keys[row + i]!;
        total += BigInt(dot);
      }
      score = nearestInteger(total, e);
    }
    scores[s] = score;
    most = Math.max(most, score);
  }
  return most;
}

/** out[at + i] = mul(rn(Σ_s p̂_s v̂_si · 2^e), inverse), p̂ and e the fixed row of 32 bits of p over the visible positions. */
function mixRow(
  out: Float32Array,
  at: number,
  p: Float32Array,
  { values }: FixedCache,
  first: number,
  count: number,
  G: number,
  g: number,
  Hd: number,
  inverse: number,
): void {
  const { values: weights, exponent } = fixedRow(p, first, count, 32);
  const high = new Float64Array(Hd);
  const low = new Float64Array(Hd);
  const totals = count > AT_ONCE ? new Array<bigint>(Hd).fill(0n) : undefined;
  for (let s = 0; s < count; s++) {
    const w = weights[s]!;
    if (w !== 0) {
      const wHigh = Math.floor(w / 65536);
      const wLow = w - wHigh * 65536;
      const row = ((first + s) * G + g) * Hd;
      for (let i = 0; i < Hd; i++) {
        const v = values[row + i]!;
        high[i]! += wHigh * v;
        low[i]! += wLow * v;
      }
    }
    if (totals && ((s + 1) % AT_ONCE === 0 || s === count - 1)) {
      for (let i = 0; i < Hd; i++) totals[i]! += (BigInt(high[i]!) << 16n) + BigInt(low[i]!);
      high.fill(0);
      low.fill(0);
    }
  }
  for (let i = 0; i < Hd; i++) {
    const sum = totals ? nearestInteger(totals[i]!, exponent) : nearestOfHalves(high[i]!, low[i]!, exponent);
    out[at + i] = mul(sum, inverse);
  }
}

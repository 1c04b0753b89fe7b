/** Bounds of the ops that divide by a sum: RMS norm, softmax, attention. */
import type { AttentionShape } from "../../core/ops/attention.ts";
import { type Arithmetic, compose, type Expected, expect, F32_MAX, gamma, makeExpected } from "./arithmetic.ts";
import { addTerm, clearTerms, magnitude, makeTerms, sumError } from "./sums.ts";

/**
 * y = x · r · w with r = 1 / √(m + eps), m = Σ x² / D.
 * All terms of Σ x² have one sign: relative error γ_D. Mean: a division, or a product with a rounded 1/D (division and
 * u). eps is held in f32 (u). An error α of m + eps is one of (1 − α)^(−1/2) − 1 of r, then inverseSqrt and two
 * products round.
 */
export function expectRmsNorm(x: Float32Array, weight: Float32Array, eps: number, T: number, a: Arithmetic): Expected {
  const D = weight.length;
  const e = makeExpected(T * D);
  for (let t = 0; t < T; t++) {
    let S = 0;
    for (let d = 0; d < D; d++) S += x[t * D + d]! ** 2;
    const m = S / D;
    const A = m + eps;
    const held = a.name === "f64" ? 0 : a.u;
    // Underflow: each square and each partial sum may lose η, in all 2D of them, over D; a flushed x loses its square,
    // below η too.
    const alpha =
      compose((m / A) * compose(gamma(D, a.u), a.division, a.u), a.u) + (eps / A) * held + (3 * a.eta) / A + gamma(D + 2, 2 ** -53);
    const r = 1 / Math.sqrt(A);
    const usable = alpha < 0.5 && A > 4 * a.flushed && S * (1 + alpha) < a.max;
    const relative = usable ? compose((1 - alpha) ** -0.5 - 1, a.inverseSqrt, a.u, a.u, 4 * 2 ** -53) : 0;
    for (let d = 0; d < D; d++) {
      const at = t * D + d;
      const w = weight[d]!;
      const y = x[at]! * r * w;
      const lost = Math.abs(x[at]!) < a.flushed || Math.abs(w) < a.flushed ? Math.abs(y) : 0;
      const error = usable ? Math.abs(y) * relative + a.eta * (1 + Math.abs(w) + r) + lost : Infinity;
      expect(e, at, y, error, Math.max(Math.abs(y), Math.abs(x[at]! * w), Math.abs(x[at]! * r)), a);
    }
  }
  return e;
}

/**
 * Relative error, as an exponent, of exp(x − max) computed: the difference rounds (u·|d|, since d(e^d)/e^d = d), exp
 * has its own error; `rescales` times it is multiplied by another exp of a part of the same d ("online" softmax: each
 * partial exp adds its constant part and a product, their |x| parts add up to |d|).
 */
function exponentError(d: number, rescales: number, a: Arithmetic): number {
  const once = a.exp(0);
  return Math.log1p(a.exp(d) + rescales * (once + a.u)) + Math.abs(d) * a.u * (1 + rescales * a.u) + 2 ** -52;
}

/**
 * p_i = exp(x_i − max) / Σ_j exp(x_j − max), n terms in unknown order. With ε_i the error of each exponential, in its
 * exponent: p̂_i / p_i ≤ e^{ε_i} / Σ_j p_j e^{−ε_j}, then γ_{n−1} of the sum and the division (or reciprocal and
 * product). Exponentials below the smallest normal may be zero, or off by their ULPs of 2⁻¹⁴⁹: each in its numerator,
 * all in the denominator, which is ≥ 1.
 */
export function expectSoftmax(x: Float32Array | Float64Array, length: number, a: Arithmetic): Expected {
  const e = makeExpected(length);
  let max = -Infinity;
  for (let i = 0; i < length; i++) max = Math.max(max, x[i]!);
  if (max === -Infinity) return e;
  let S = 0;
  for (let i = 0; i < length; i++) S += Math.exp(x[i]! - max);
  let low = 0;
  const errors = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    if (x[i] === -Infinity) continue;
    errors[i] = exponentError(x[i]! - max, 0, a);
    low += (Math.exp(x[i]! - max) / S) * Math.exp(-errors[i]!);
  }
  let lost = 0;
  for (let i = 0; i < length; i++) lost += a.eta + (x[i] === -Infinity ? 0 : a.expEta(x[i]! - max));
  const sum = gamma(length, a.u) + lost / S;
  for (let i = 0; i < length; i++) {
    const p = Math.exp(x[i]! - max) / S;
    const relative = compose(Math.exp(errors[i]!) / low - 1, sum / (1 - sum), a.division, a.u, gamma(length + 3, 2 ** -53));
    expect(e, i, p, p === 0 && x[i] === -Infinity ? 0 : p * relative + 2 * (a.eta + a.expEta(x[i]! - max)), 1, a);
  }
  return e;
}

/** Operands of attention. */
export interface AttentionInputs {
  /** [T, H, Hd] */
  readonly q: Float32Array;
  /** [S, G, Hd] */
  readonly k: Float32Array;
  /** [S, G, Hd] */
  readonly v: Float32Array;
  /** How far a cache may hold keys and values from these; absent where it holds them as they are. */
  readonly stored?: { readonly k: Float64Array; readonly v: Float64Array };
  /** Whether q holds the factor 1/√Hd already. */
  readonly scaled?: boolean;
  /** Positions already in the cache: query t stands at start + t. */
  readonly start: number;
  /** Queries. */
  readonly T: number;
  /** Heads and their sizes. */
  readonly shape: AttentionShape;
}

/** The first and last key that query t sees. */
export function visible({ start, shape: { window } }: AttentionInputs, t: number): [number, number] {
  const last = start + t;
  return [window === null ? 0 : Math.max(0, last - window + 1), last];
}

/** Scores of one query head over its visible keys, and the error in each weight's exponent. */
export interface Scores {
  /** Attention weights. */
  readonly p: Float64Array;
  /** Of each, the error of its exponent. */
  readonly errors: Float64Array;
  /** Σ p_j e^{−ε_j} */
  readonly low: number;
  /** What a subnormal exponential may be off by, at most. */
  readonly lost: number;
  /** Whether a score may leave f32. */
  readonly overflow: boolean;
}

/**
 * s = q·k / √Hd. The dot's error is that of `sumError`; the factor is held rounded, or computed by inverseSqrt, and
 * multiplies before or after: inverseSqrt and two roundings relative to Σ|q·k|. A common shift of all scores cancels,
 * so the error of the computed maximum does not matter.
 */
export function attentionScores(c: AttentionInputs, t: number, h: number, a: Arithmetic, rescales: number): Scores {
  const { H, G, Hd } = c.shape;
  const [first, last] = visible(c, t);
  const n = last - first + 1;
  const group = Math.floor((h * G) / H);
  const scale = c.scaled ? 1 : 1 / Math.sqrt(Hd);
  const scores = new Float64Array(n);
  const errors = new Float64Array(n);
  const terms = makeTerms();
  let max = -Infinity;
  let overflow = false;
  for (let j = 0; j < n; j++) {
    clearTerms(terms);
    let keys = 0;
    let moved = 0;
    for (let i = 0; i < Hd; i++) {
      const at = ((first + j) * G + group) * Hd + i;
      const query = c.q[(t * H + h) * Hd + i]!;
      addTerm(terms, query, c.k[at]!, a);
      const away = c.stored?.k[at] ?? 0;
      moved += Math.abs(query) * away;
      keys += Math.abs(c.k[at]!) + away;
    }
    scores[j] = terms.sum * scale;
    // A scaled q or a scaled sum may underflow: η · |k| for each component, η for the score.
    errors[j] = scale * (sumError(terms, a) + compose(a.inverseSqrt, a.u, a.u) * (1 + Hd * a.u) * magnitude(terms)) + a.eta * (1 + keys);
    // What is stored differs from k by at most `stored.k`, and rounds as much more as it is larger.
    errors[j]! += scale * moved * (1 + compose(gamma(2 * Hd, a.u), a.inverseSqrt, a.u, a.u));
    overflow ||= magnitude(terms) >= a.max / 4;
    max = Math.max(max, scores[j]!);
  }
  const p = new Float64Array(n);
  let S = 0;
  for (let j = 0; j < n; j++) {
    p[j] = Math.exp(scores[j]! - max);
    S += p[j]!;
  }
  let low = 0;
  let lost = 0;
  for (let j = 0; j < n; j++) {
    p[j]! /= S;
    errors[j]! += exponentError(scores[j]! - max, Math.min(rescales, n), a) + Math.abs(errors[j]!) * a.exp(0);
    low += p[j]! * Math.exp(-errors[j]!);
    lost = Math.max(lost, a.expEta(scores[j]! - max));
  }
  return { p, errors, low, lost, overflow };
}

/** The attention weights [T, H, S]: softmax of the scores, 0 where a key is not seen. */
export function expectAttentionWeights(c: AttentionInputs, a: Arithmetic): Expected {
  const S = c.start + c.T;
  const { H } = c.shape;
  const e = makeExpected(c.T * H * S);
  for (let t = 0; t < c.T; t++) {
    for (let h = 0; h < H; h++) {
      const [first] = visible(c, t);
      const { p, errors, low, lost, overflow } = attentionScores(c, t, h, a, 0);
      const sum = gamma(p.length, a.u) + p.length * (a.eta + lost);
      for (let j = 0; j < p.length; j++) {
        const relative = compose(Math.exp(errors[j]!) / low - 1, sum / (1 - sum), a.division, a.u, gamma(p.length + 3, 2 ** -53));
        expect(e, (t * H + h) * S + first + j, p[j]!, overflow ? Infinity : p[j]! * relative + 2 * (a.eta + lost), 1, a);
      }
    }
  }
  return e;
}

/**
 * out = Σ_s p_s v_s. Errors of the weights act on the distance to the result only, because the weights are normalized
 * by their own sum: with p̂_s = p_s e^{δ_s} / Σ p_j e^{δ_j},
 *   ŷ − y = Σ p_s (e^{δ_s} − 1)(v_s − y) / Σ p_j e^{δ_j},  at most Σ p_s (e^{ε_s} − 1)|v_s − y| / Σ p_j e^{−ε_j}.
 * To that come γ of the weighted sum (relative to Σ p|v|), γ of the denominator, the division and the product (relative
 * to |y|). Values that a cache holds e_s away add Σ p̂_s e_s ≤ Σ p_s e^{ε_s} e_s / Σ p_j e^{−ε_j}, and their sums round
 * as they do. `rescales`: how often the running sums of an "online" softmax may be multiplied by exp(old max − new
 * max); at most once a key.
 */
export function expectAttention(c: AttentionInputs, a: Arithmetic, rescales: number): Expected {
  const { H, G, Hd } = c.shape;
  const e = makeExpected(c.T * H * Hd);
  for (let t = 0; t < c.T; t++) {
    for (let h = 0; h < H; h++) {
      const [first] = visible(c, t);
      const group = Math.floor((h * G) / H);
      const { p, errors, low, lost, overflow } = attentionScores(c, t, h, a, rescales);
      const n = p.length;
      const held = a.name === "f64" ? a.store : 0; // the reference keeps its weights in f32
      for (let i = 0; i < Hd; i++) {
        let y = 0;
        let M = 0;
        let largest = 0;
        for (let j = 0; j < n; j++) {
          const v = c.v[((first + j) * G + group) * Hd + i]!;
          y += p[j]! * v;
          M += p[j]! * Math.abs(v);
          largest = Math.max(largest, Math.abs(v));
        }
        let shifted = 0;
        for (let j = 0; j < n; j++) {
          const at = ((first + j) * G + group) * Hd + i;
          shifted += p[j]! * Math.expm1(errors[j]!) * Math.abs(c.v[at]! - y);
          shifted += p[j]! * Math.exp(errors[j]!) * (c.stored?.v[at] ?? 0) * (1 + gamma(2 * n + 8, a.u));
        }
        const rest = compose(gamma(n, a.u), a.division, a.u) * Math.abs(y) + compose(gamma(n, a.u), held, gamma(n + 4, 2 ** -53)) * M;
        const underflow = (3 * n + 2) * (a.eta + lost + a.storeEta) * (1 + largest);
        const error = overflow ? Infinity : shifted / low + rest * (1 + a.exp(0)) + underflow;
        expect(e, (t * H + h) * Hd + i, y, error, Math.min(largest * Math.max(1, n), F32_MAX * 2), a);
      }
    }
  }
  return e;
}

/** out = Σ_s weights_s v_s of given weights, over the keys that are seen: a dot of unknown order. */
export function expectAttentionMix(c: AttentionInputs & { readonly weights: Float32Array }, a: Arithmetic): Expected {
  const { H, G, Hd } = c.shape;
  const S = c.start + c.T;
  const e = makeExpected(c.T * H * Hd);
  const terms = makeTerms();
  for (let t = 0; t < c.T; t++) {
    for (let h = 0; h < H; h++) {
      const [first, last] = visible(c, t);
      const group = Math.floor((h * G) / H);
      for (let i = 0; i < Hd; i++) {
        clearTerms(terms);
        for (let s = first; s <= last; s++) addTerm(terms, c.weights[(t * H + h) * S + s]!, c.v[(s * G + group) * Hd + i]!, a);
        expect(e, (t * H + h) * Hd + i, terms.sum, sumError(terms, a), magnitude(terms), a);
      }
    }
  }
  return e;
}

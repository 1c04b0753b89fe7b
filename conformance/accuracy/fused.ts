/**
 * Bounds of the fused decode kernels: linears in `fixed16` (core/quant/fixed16.ts), the norm's 1/rms as a factor of their result, and
 * what follows them in the same kernel. Composed to first order with the second-order remainder bounded.
 */
import { FIXED16_MAX, type Fixed16 } from "../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Arithmetic, compose, type Expected, expect, gamma, makeExpected } from "./arithmetic.ts";
import { expectSiluMul } from "./elementwise.ts";
import { halfNumbers } from "./halves.ts";
import { nibble } from "./linear.ts";
import { addTerm, clearTerms, magnitude, makeTerms, sumError } from "./sums.ts";

/**
 * y[t, n] = Σ_b I_b · (2^e_b · s) + bias[t, n] (+ more of the kind), I_b = Σ_{k in b} v (q − z) an exact integer. The product of the two scales is exact (a power of
 * two, and 11 bits); so the terms are those of a dot over the blocks: one rounding a product, additions in any order. In blocks of 32 I_b is
 * below 2²⁴, an f32; in longer ones it may round once more, on its way to f32.
 * The quantization is the claim of the arithmetic (round to nearest, ties to even): its v are taken as given.
 */
export function expectFixed16(
  x: Fixed16,
  weight: AwqMatrix,
  bias: ArrayLike<number> | null,
  a: Arithmetic,
  ...more: readonly ArrayLike<number>[]
): Expected {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
  // x may be filled up to whole blocks.
  const { block, rows, inFeatures: stride } = x;
  const e = makeExpected(rows * N);
  const terms = makeTerms();
  const conversions = block * FIXED16_MAX * 15 < 2 ** a.precision ? 0 : 1;
  for (let t = 0; t < rows; t++)
    for (let n = 0; n < N; n++) {
      clearTerms(terms);
      for (let b = 0; b < stride / block; b++) {
        const g = Math.floor((b * block) / G);
        const z = nibble(qzeros, N, g, n);
        let sum = 0;
        for (let k = b * block; k < Math.min(K, (b + 1) * block); k++) sum += x.values[t * stride + k]! * (nibble(qweight, N, k, n) - z);
        addTerm(terms, sum, x.scales[(t * stride) / block + b]! * halfNumbers()[scales[g * N + n]!]!, a);
      }
      for (const addend of bias ? [bias, ...more] : more) addTerm(terms, addend[t * N + n]!, 1, a);
      expect(e, t * N + n, terms.sum, sumError(terms, a, conversions), magnitude(terms), a);
    }
  return e;
}

/** 1/√(Σ squares / K + eps) of given f32 partial sums, and its relative error: γ of their sum, the mean, eps, inverseSqrt. */
export function inverseRms(squares: ArrayLike<number>, K: number, eps: number, a: Arithmetic): { value: number; relative: number } {
  let S = 0;
  for (let i = 0; i < squares.length; i++) S += squares[i]!;
  const A = S / K + eps;
  const alpha = compose(gamma(squares.length, a.u), a.division, a.u, a.u) + (3 * a.eta) / A + 2 ** -40;
  const usable = alpha < 0.5 && A > 4 * a.flushed && S * (1 + alpha) < a.max;
  return { value: 1 / Math.sqrt(A), relative: usable ? compose((1 - alpha) ** -0.5 - 1, a.inverseSqrt) : Infinity };
}

/** `linear` · inverse: the linear's own error, the factor's, one product. */
export function scaledByRms({ value, bound }: Expected, inverse: { value: number; relative: number }, a: Arithmetic): Expected {
  const e = makeExpected(value.length);
  for (let i = 0; i < value.length; i++) {
    const y = value[i]! * inverse.value;
    const error = (bound[i]! * inverse.value + Math.abs(y) * compose(inverse.relative, a.u)) * (1 + 2 ** -10) + a.eta;
    expect(e, i, y, Number.isNaN(error) ? Infinity : error, Math.max(Math.abs(y), Math.abs(value[i]!)), a);
  }
  return e;
}

/** y + addend of a y with errors, one rounding. */
export function plusExact({ value, bound }: Expected, addend: ArrayLike<number>, a: Arithmetic): Expected {
  const e = makeExpected(value.length);
  for (let i = 0; i < value.length; i++) {
    const y = value[i]! + addend[i]!;
    const reach = Math.max(Math.abs(value[i]!), Math.abs(y));
    expect(e, i, y, bound[i]! * (1 + a.u) + Math.abs(y) * a.u + a.eta, reach, a);
  }
  return e;
}

/** silu(g) · u of inputs with errors: |silu′| ≤ 1.1 and |silu″| ≤ ½ everywhere bound the remainder. */
export function siluMulOf(g: Expected, u: Expected, a: Arithmetic): Expected {
  const length = g.value.length;
  const local = expectSiluMul(Float32Array.from(g.value), Float32Array.from(u.value), length, a);
  const e = makeExpected(length);
  for (let i = 0; i < length; i++) {
    const [x, y, eg, eu] = [g.value[i]!, u.value[i]!, g.bound[i]!, u.bound[i]!];
    const sigmoid = 1 / (1 + Math.exp(-x));
    const slope = Math.abs(sigmoid * (1 + x * (1 - sigmoid)));
    // The local bound is taken at f32 neighbours of g and u, 2⁻²⁴ away.
    const nearby = Math.abs(x * sigmoid * y) * 2 ** -22 + Math.abs(slope * x * y) * 2 ** -23;
    const error = slope * Math.abs(y) * eg + Math.abs(x * sigmoid) * eu + 0.5 * eg * eg * (Math.abs(y) + eu) + 1.1 * eg * eu;
    expect(e, i, x * sigmoid * y, (local.bound[i]! + error) * (1 + 2 ** -10) + nearby, Math.abs(x) + Math.abs(y), a);
  }
  return e;
}

/** A rotated pair of inputs with errors, cos and sin known within `angle`; both of its components. */
export function rotatePair(
  low: readonly [value: number, error: number],
  high: readonly [value: number, error: number],
  [cos, sin, angle]: readonly [cos: number, sin: number, angle: number],
  a: Arithmetic,
): [[number, number], [number, number]] {
  const relative = compose(a.u, a.u, a.u, 2 ** -50);
  const one = (p: readonly [number, number], c: number, q: readonly [number, number], s: number): [number, number] => {
    const M = Math.abs(p[0] * c) + Math.abs(q[0] * s);
    const known = (Math.abs(p[0]) + p[1] + Math.abs(q[0]) + q[1]) * angle;
    return [p[0] * c + q[0] * s, (p[1] * Math.abs(c) + q[1] * Math.abs(s) + known) * (1 + relative) + M * relative + 3 * a.eta];
  };
  return [one(low, cos, high, -sin), one(high, cos, low, sin)];
}

/** What rounding to f16, to either neighbour, may change a magnitude of at most `reach` by; a subnormal may be flushed. */
export const unitF16 = (reach: number): number =>
  reach < 2 ** -14 ? Math.max(reach, 2 ** -24) : 2 ** (Math.floor(Math.log2(Math.min(reach, 65504))) - 10);

/** A value with an error, kept as f16 (clamped to what it holds): either neighbour of anything within the error. */
export function storedAsF16(value: number, error: number): { value: number; bound: number } {
  const clamp = (x: number): number => Math.max(-65504, Math.min(65504, x));
  const unit = unitF16(Math.abs(clamp(value)) + error);
  return { value: clamp(value), bound: error === Infinity ? Infinity : error + (value === 0 && error === 0 ? 0 : unit) };
}

/** What goes into an f16 cache: a value and what it may be off by. */
export interface Cached {
  /** Where it stands. */
  readonly position: number;
  /** What it is. */
  readonly value: number;
  /** How far off it may be. */
  readonly error: number;
}

/** The first position where a cache holds what f16 does not, −1 for none; unbounded where an error decides. */
export function expectNoted(cached: Iterable<Cached>): { value: number; bound: number } {
  let [surely, perhaps] = [Infinity, Infinity];
  for (const { position, value, error } of cached) {
    if (Math.abs(value) - error > 65504) surely = Math.min(surely, position);
    if (!(Math.abs(value) + error <= 65504)) perhaps = Math.min(perhaps, position);
  }
  return { value: surely === Infinity ? -1 : surely, bound: perhaps === surely ? 0 : Infinity };
}

/** Every element of an expectation kept as f16. */
export function asF16({ value, bound }: Expected): Expected {
  const e = makeExpected(value.length);
  for (let i = 0; i < value.length; i++) {
    const stored = storedAsF16(value[i]!, bound[i]!);
    e.value[i] = stored.value;
    e.bound[i] = stored.bound;
  }
  return e;
}

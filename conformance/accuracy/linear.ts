/** Bounds of the linear layers: dense, and AWQ int4 with the zero point in the weight or folded out of the sum. */
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { type Arithmetic, type Expected, expect, makeExpected } from "./arithmetic.ts";
import { bfloatNumber, halfNumbers } from "./halves.ts";
import { addTerm, clearTerms, magnitude, makeTerms, sumError } from "./sums.ts";

/** Element (n, k) of a dense matrix; exact. */
export function denseElement({ data, dtype, inFeatures: K }: DenseMatrix, n: number, k: number): number {
  const raw = data[n * K + k]!;
  return dtype === "F16" ? halfNumbers()[raw]! : dtype === "BF16" ? bfloatNumber(raw) : raw;
}

/** y[t, n] = Σ_k x[t, k] · W[n, k] + bias[n] (+ more[t, n]); the bias is one more term of the sum, and so is what is added. */
export function expectMatmul(
  x: Float32Array,
  weight: DenseMatrix,
  bias: Float32Array | null,
  T: number,
  a: Arithmetic,
  ...more: readonly ArrayLike<number>[]
): Expected {
  const { inFeatures: K, outFeatures: N } = weight;
  const e = makeExpected(T * N);
  const terms = makeTerms();
  const row = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) row[k] = denseElement(weight, n, k);
    for (let t = 0; t < T; t++) {
      clearTerms(terms);
      for (let k = 0; k < K; k++) addTerm(terms, x[t * K + k]!, row[k]!, a);
      if (bias) addTerm(terms, bias[n]!, 1, a);
      for (const addend of more) addTerm(terms, addend[t * N + n]!, 1, a);
      expect(e, t * N + n, terms.sum, sumError(terms, a), magnitude(terms), a);
    }
  }
  return e;
}

/** Bit position of column 8c + j in its word: AutoAWQ's order. */
const nibbleShift = [0, 16, 4, 20, 8, 24, 12, 28] as const;

/** The int4 value of column n in row `row` of a packed [rows, N/8] array. */
export function nibble(words: Int32Array, N: number, row: number, n: number): number {
  return (words[(row * N + n) >> 3]! >>> nibbleShift[n & 7]!) & 15;
}

/**
 * y[t, n] = Σ_g s[g, n] · Σ_{k in g} x[t, k] · (q[k, n] − z[g, n]) + bias[n] (+ more[t, n]).
 *
 * Three ways to compute it must fit: the scale in each weight, x · (s·(q − z)), one rounding more a term; the scale on the
 * group's sum, one rounding more a group; and, where `folded`, s·(Σ x·q − z·Σ x), whose terms are x·q and x·z separately. Every
 * term meets at most three roundings besides the additions (product, zero point, scale), and the additions number one less than
 * the terms, two sums a group where folded, plus the subtraction. So E = sumError of the terms with two extra roundings each.
 * Where the terms are exact on their grid so are x·q, x·z and their sums, whose significands are no longer: nothing rounds.
 */
export function expectAwqMatmul(
  x: Float32Array,
  weight: AwqMatrix,
  bias: Float32Array | null,
  T: number,
  a: Arithmetic,
  folded: boolean,
  ...more: readonly ArrayLike<number>[]
): Expected {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
  const e = makeExpected(T * N);
  const terms = makeTerms();
  const half = halfNumbers();
  const q = new Float64Array(K);
  const z = new Float64Array(K / G);
  const s = new Float64Array(K / G);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) q[k] = nibble(qweight, N, k, n);
    for (let g = 0; g < K / G; g++) {
      z[g] = nibble(qzeros, N, g, n);
      s[g] = half[scales[g * N + n]!]!;
    }
    for (let t = 0; t < T; t++) {
      clearTerms(terms);
      let peak = 0;
      let largest = 0;
      let leastX = Infinity;
      for (let k = 0; k < K; k++) {
        const g = Math.floor(k / G);
        const xk = x[t * K + k]!;
        if (xk !== 0) leastX = Math.min(leastX, Math.abs(xk));
        if (folded) {
          addTerm(terms, xk, s[g]! * q[k]!, a);
          addTerm(terms, -xk, s[g]! * z[g]!, a);
        } else addTerm(terms, xk, s[g]! * (q[k]! - z[g]!), a);
        peak += Math.abs(xk) * 15 * Math.max(1, Math.abs(s[g]!));
        largest = Math.max(largest, Math.abs(s[g]!));
      }
      // What underflows inside a group is scaled by s afterwards.
      const underflow = leastX * 2 ** -24 >= a.flushed ? 0 : 2 * terms.count * a.eta * Math.max(1, largest);
      if (bias) addTerm(terms, bias[n]!, 1, a);
      for (const addend of more) addTerm(terms, addend[t * N + n]!, 1, a);
      expect(e, t * N + n, terms.sum, sumError(terms, a, 2) + underflow, Math.max(peak, magnitude(terms)), a);
    }
  }
  return e;
}

/**
 * Sums and dot products whose order of summation is unknown: any binary tree over the terms, fused multiply-add or not.
 * Source: Higham 2002, section 4.2, inequality (4.3): the error is at most the sum of what each partial sum rounds by.
 */
import { type Arithmetic, gamma, powerOfTwo, ulp } from "./arithmetic.ts";

/** What the bound of a sum needs to know of its terms; filled by `addTerm`. */
export interface Terms {
  /** The sum itself, in f64. */
  sum: number;
  /** Σ of the positive terms and Σ of the magnitudes of the negative ones. */
  positive: number;
  /** The latter. */
  negative: number;
  /** Number of terms that are not zero. */
  count: number;
  /** Smallest magnitude of a term that is not zero. */
  least: number;
  /** The largest power of two that divides every term. */
  grid: number;
  /** Σ of what each product may round by. */
  products: number;
  /** Σ |term| over those with an operand that may be read as zero. */
  flushed: number;
}

/** No terms yet. */
export const makeTerms = (): Terms => ({
  sum: 0,
  positive: 0,
  negative: 0,
  count: 0,
  least: Infinity,
  grid: Infinity,
  products: 0,
  flushed: 0,
});

/** Takes all terms back. */
export function clearTerms(t: Terms): void {
  t.sum = 0;
  t.positive = 0;
  t.negative = 0;
  t.count = 0;
  t.least = Infinity;
  t.grid = Infinity;
  t.products = 0;
  t.flushed = 0;
}

const wide = new Float64Array(1);
const words = new Uint32Array(wide.buffer);

/** The largest power of two that divides x, a normal f64 that is not zero: the weight of its lowest set bit. */
export function lowestBit(x: number): number {
  wide[0] = x;
  const low = words[0]!;
  const high = words[1]!;
  const fraction = high & 0xfffff;
  const zeros = low !== 0 ? 31 - Math.clz32(low & -low) : fraction !== 0 ? 32 + 31 - Math.clz32(fraction & -fraction) : 52;
  return powerOfTwo(((high >>> 20) & 2047) - 1023 - 52 + zeros);
}

/** Adds the exact product a · b (f32 operands make it exact in f64). */
export function addTerm(t: Terms, a: number, b: number, arithmetic: Arithmetic): void {
  const term = a * b;
  if (term === 0) return;
  const magnitude = Math.abs(term);
  t.sum += term;
  if (term > 0) t.positive += term;
  else t.negative -= term;
  t.count++;
  if (magnitude < t.least) t.least = magnitude;
  const bit = lowestBit(term);
  if (bit < t.grid) t.grid = bit;
  const unit = ulp(magnitude, arithmetic);
  if (bit < unit) t.products += unit;
  if (Math.abs(a) < arithmetic.flushed || Math.abs(b) < arithmetic.flushed) t.flushed += magnitude;
}

/** Σ |term|. */
export const magnitude = (t: Terms): number => t.positive + t.negative;

/**
 * |computed − exact| of Σ a·b over n terms in any order.
 *
 * If Σ|a·b| fits the precision in steps of the terms' common grid, every product and partial sum is representable: the
 * only error is that of operands read as zero. Otherwise each product rounds by an ULP of its own (none where it is
 * representable), and each of n − 1 additions by an ULP of a partial sum, whose magnitude is at most that of all the
 * terms of one sign, max(P, N), and the error before it. `extra` more roundings a term: a scale applied before or
 * after. Results of less than the smallest normal may lose η each, which takes a term below 2²⁴ of them: larger ones,
 * rounded, are multiples of it, and so are their sums. The f64 sum that stands for the exact one has an error of its
 * own, γ_n(2⁻⁵³)·Σ|a·b|.
 */
export function sumError(t: Terms, a: Arithmetic, extra = 0): number {
  const M = magnitude(t);
  if (t.count === 0) return 0;
  const reference = M < t.grid * 2 ** 53 ? 0 : gamma(t.count, 2 ** -53) * M;
  if (M < t.grid * 2 ** a.precision && t.least * 2 ** -24 >= a.flushed) return t.flushed + reference;
  const products = t.products + gamma(extra, a.u) * M * (1 + a.u);
  const partial = Math.max(t.positive, t.negative) + products + gamma(t.count, a.u) * (M + products);
  const additions = (t.count - 1) * ulp(partial, a);
  const underflow = t.least * 2 ** -24 >= a.flushed ? 0 : 2 * t.count * a.eta;
  return products + additions + underflow + t.flushed + reference;
}

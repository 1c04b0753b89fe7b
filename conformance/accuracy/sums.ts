/**
 * Sums and dot products whose order of summation is unknown: any binary tree over the terms, fused multiply-add or not.
 * Source: Higham 2002, section 4.2, inequality (4.3): the error is at most u times the sum of the magnitudes of all partial sums.
 */
import { type Arithmetic, gamma } from "./arithmetic.ts";

/** What the bound of a sum needs to know of its terms; filled by `addTerm`. */
export interface Terms {
  /** The sum itself, in f64. */
  sum: number;
  /** Σ of the positive terms and Σ of the magnitudes of the negative ones. */
  positive: number;
  negative: number;
  /** Number of terms. */
  count: number;
  /** Σ |term| over those with an operand that may be read as zero. */
  flushed: number;
}

export const makeTerms = (): Terms => ({ sum: 0, positive: 0, negative: 0, count: 0, flushed: 0 });

export function clearTerms(t: Terms): void {
  t.sum = 0;
  t.positive = 0;
  t.negative = 0;
  t.count = 0;
  t.flushed = 0;
}

/** Adds the exact product a · b (f32 operands make it exact in f64). */
export function addTerm(t: Terms, a: number, b: number, flushed: number): void {
  const term = a * b;
  t.sum += term;
  if (term >= 0) t.positive += term;
  else t.negative -= term;
  t.count++;
  if (term !== 0 && (Math.abs(a) < flushed || Math.abs(b) < flushed)) t.flushed += Math.abs(term);
}

/** Σ |term|. */
export const magnitude = (t: Terms): number => t.positive + t.negative;

/**
 * |computed − exact| of Σ a·b over n terms, any order. One rounding a product; n − 1 additions, each of which rounds a partial
 * sum of magnitude at most max(P, N) + (error so far ≤ γ_n · (P + N)):
 * E = u·(P + N) + (n − 1)·u·(max(P, N) + γ_n·(P + N)), and η for each operation, Σ |flushed terms|.
 * `relative` is an error that every term already carries; `products` false leaves out the roundings of the products.
 * The error of the f64 sum that stands for the exact one is added: γ_n(2⁻⁵³)·(P + N).
 */
export function sumError(t: Terms, a: Arithmetic, relative = 0, products = true): number {
  const M = magnitude(t);
  if (t.count === 0) return 0;
  const additions = t.count - 1;
  const each = (1 + relative) * (1 + (products ? a.u : 0)) - 1;
  const rounding = additions * a.u * (1 + each) * (Math.max(t.positive, t.negative) + gamma(t.count, a.u) * M);
  const underflow = (t.count + additions) * a.eta;
  return Math.max(each, relative + (products ? a.u : 0)) * M + rounding + underflow + t.flushed + gamma(t.count, 2 ** -53) * M;
}

/**
 * How the tiles of `exact` join digit sums with scales. I, the sum of a step of at most 128 k, comes as A = 256 I₁ + I₀ and B = 256 I₃ + I₂, below 2^26 each,
 * I = A + 2^16 B; it is cut into a ≥ 0 and m ≥ 0 of 16 bits and b: I = a + 2^16 m + 2^32 b. A row's scales are integers on its least exponent
 * (exact-scale-bases.ts), of which WINDOW_BITS at a time are multiplied: the products add up in three limbs, c₀ + 2^16 c₁ + 2^32 c₂, |c₂| < 2^31, the
 * others below 2^28 for every K of the definition. Scales that spread over more bits take another pass over K for each further window.
 */
import type { Digits } from "../kernels/exact/exact-digits.ts";

/** Bits of a window: |b| < 2^9.91 with four digits, K/128 times, leaves so many of 31; with three digits |b| ≤ 4. */
const windowBits = (K: number, P: Digits): number => (P === 3 ? 16 : Math.min(16, Math.floor(21 - Math.log2(Math.ceil(K / 128)))));

/** For scales of 11 bits on exponents that spread so far in a row. */
export function windowOverrides(K: number, P: Digits, spread: number): { WINDOW_BITS: number; WINDOWS: number } {
  const bits = windowBits(K, P);
  return { WINDOW_BITS: bits, WINDOWS: Math.ceil((11 + spread) / bits) };
}

/** A and B (vec4<u32>) of row r times scales s (vec4<u32>) into its limbs cr_0 …; wants low = 0xffff, sixteen = 16. */
export const joinRow = (r: number, A: string, B: string): string => `{
      let A = ${A}; let X = ${B} + bitcast<vec4<u32>>(bitcast<vec4<i32>>(A) >> sixteen); let t = (A & low) * s; let u = (X & low) * s;
      c${r}_0 += t & low; c${r}_1 += (t >> sixteen) + (u & low); c${r}_2 += bitcast<vec4<u32>>(bitcast<vec4<i32>>(X) >> sixteen) * s + (u >> sixteen); }`;

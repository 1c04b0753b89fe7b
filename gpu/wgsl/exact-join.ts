/**
 * How the tiles of `exact` join digit sums with scales. I, the sum of a step of at most 128 k, comes as A = 256 I₁ + I₀ and B = 256 I₃ + I₂, below 2^26 each,
 * I = A + 2^16 B; it is cut into a ≥ 0 and m ≥ 0 of 16 bits and b: I = a + 2^16 m + 2^32 b. A row's scales are integers on its least exponent
 * (exact-scale-bases.ts), of which WINDOW_BITS at a time are multiplied: the products add up in two words, 64 bits with a sign, since what is
 * multiplied by b stays below 2^63. Scales that spread over more bits take another pass over K for each further window.
 */
import type { Digits } from "../kernels/exact/exact-digits.ts";

/** Bits of a window: |b| < 2^9.91 with four digits, K/128 times, leaves so many of 31; with three digits |b| ≤ 4. */
const windowBits = (K: number, P: Digits): number => (P === 3 ? 16 : Math.min(16, Math.floor(21 - Math.log2(Math.ceil(K / 128)))));

/** For scales of 11 bits on exponents that spread so far in a row. */
export function windowOverrides(K: number, P: Digits, spread: number): { WINDOW_BITS: number; WINDOWS: number } {
  const bits = windowBits(K, P);
  return { WINDOW_BITS: bits, WINDOWS: Math.ceil((11 + spread) / bits) };
}

/** I (vec4<i32>'s bits) of row r times scales s into its words cr_0, cr_1: joinRow of a sum that i32 holds. */
export const joinOne = (r: number, I: string): string =>
  [
    `{ let I = ${I}; let y = I * s; c${r}_0 += y; let w = bitcast<vec4<u32>>(bitcast<vec4<i32>>(I) >> sixteen) * s + (((I & low) * s) >> sixteen);`,
    `c${r}_1 += bitcast<vec4<u32>>(bitcast<vec4<i32>>(w) >> sixteen) + select(vec4<u32>(0u), vec4<u32>(1u), c${r}_0 < y); }`,
  ].join(" ");

/**
 * A and B (vec4<u32>) of row r times scales s (vec4<u32>) into its words cr_0, cr_1; wants low = 0xffff, sixteen = 16. a s + 2^16 m s is
 * (a s mod 2^16) + 2^16 w, w = m s + ⌊a s / 2^16⌋ below 2^32.
 */
export const joinRow = (r: number, A: string, B: string): string =>
  [
    `{ let A = ${A}; let X = ${B} + bitcast<vec4<u32>>(bitcast<vec4<i32>>(A) >> sixteen); let t = (A & low) * s; let w = (X & low) * s + (t >> sixteen);`,
    `let y = (w << sixteen) | (t & low); c${r}_0 += y; c${r}_1 += bitcast<vec4<u32>>(bitcast<vec4<i32>>(X) >> sixteen) * s + (w >> sixteen) + select(vec4<u32>(0u), vec4<u32>(1u), c${r}_0 < y); }`,
  ].join(" ");

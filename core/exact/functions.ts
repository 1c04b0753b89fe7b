/**
 * The functions of `exact` (docs/exact.md, "Functions"): integers in, integers out, so that every device computes the same bits. Each takes
 * and gives numbers as in numbers.ts; how far each is from the real function is stated with it.
 */
import { bitsOf, LARGEST, mul, nearest } from "./numbers.ts";

/** The binary32 number nearest to log₂ e. */
export const LOG2E: number = Math.fround(Math.LOG2E);

/** ⌊a b / 2^32⌋ of two u32: the halves of b, products of 48 bits that f64 holds. */
export function mulHigh(a: number, b: number): number {
  const low = Math.floor(a * (b % 65536) * 2 ** -16);
  return Math.floor((a * (b >>> 16) + low) * 2 ** -16);
}

/** (1 − 2^−x) / x on [0, 1] at six Chebyshev nodes, in units of 2^−32; signs alternate. */
export const POWER = [2977044447, 1031763206, 238367376, 41218952, 5547538, 493577] as const;

/**
 * ≈ 2^30 · 2^(−f / 2^24), f an integer of 24 bits. Over all of them: relative error below 2^−26.3, never rising, 2^30 at 0, above 2^29.
 */
export function powerOfTwo(f: number): number {
  const x = f * 256;
  let y: number = POWER[5];
  for (let i = 4; i >= 0; i--) y = POWER[i]! - mulHigh(x, y);
  return 2 ** 30 - Math.floor((mulHigh(x, y) + 2) / 4);
}

/** A distance d ≥ 0 in units of 2^−24, to nearest, ties up, at most 64 − 2^−24: whole and fraction. */
export function fixedDistance(d: number): { readonly whole: number; readonly fraction: number } {
  const D = Math.min(2 ** 30 - 1, Math.floor(d * 2 ** 24 + 0.5));
  return { whole: Math.floor(D / 2 ** 24), fraction: D % 2 ** 24 };
}

/** ⌊2^61 / y⌋, 2^30 ≤ y ≤ 2^31. */
export function reciprocalInteger(y: number): number {
  // The quotient of two f64 is within one of the floor; the remainder, of 62 bits, decides, in two halves.
  let q = Math.floor(2 ** 61 / y);
  const remainder = (): number => {
    const high = Math.floor(q / 65536);
    const low = q % 65536;
    return (2 ** 45 - high * y) * 65536 - low * y;
  };
  while (remainder() < 0) q--;
  while (remainder() >= y) q++;
  return q;
}

/** ⌊√(M · 2^36)⌋, M below 2^26. */
export function rootInteger(M: number): number {
  let s = Math.floor(Math.sqrt(M) * 2 ** 18);
  const square = (r: number): bigint => BigInt(r) * BigInt(r);
  const N = BigInt(M) << 36n;
  while (square(s) > N) s--;
  while (square(s + 1) <= N) s++;
  return s;
}

/** x > 0 as significand · 2^exponent, significand an integer of 24 bits. */
function split(x: number): { significand: number; exponent: number } {
  const bits = bitsOf(x);
  return { significand: (bits & 0x7fffff) | 0x800000, exponent: (bits >>> 23) - 150 };
}

/** ≈ 1/√x, x ≥ 0: within 0.5151 units of the last place; the largest number for 0. */
export function inverseRoot(x: number): number {
  if (x === 0) return LARGEST;
  let { significand: M, exponent: k } = split(x);
  M *= 2;
  k -= 1;
  if ((k & 1) !== 0) {
    M *= 2;
    k -= 1;
  }
  return nearest(reciprocalInteger(rootInteger(M)) * 2 ** (18 - k / 2 - 61));
}

/** ≈ 1/x, x > 0: within 0.508 units of the last place. */
export function reciprocal(x: number): number {
  const { significand, exponent } = split(x);
  return nearest(reciprocalInteger(significand * 128) * 2 ** (7 - 61 - exponent));
}

/**
 * ≈ x / (1 + e^−x): σ = 1/(1 + e^−|x|) from the integers 2^30 and 2^30 e^−|x|; for x < 0 its product with e^−|x|, which is 0 at the end
 * of what a distance holds. Within 4 + |x| units of the last place.
 */
export function silu(x: number): number {
  const { whole, fraction } = fixedDistance(mul(Math.abs(x), LOG2E));
  const W = powerOfTwo(fraction);
  const sigma = nearest(reciprocalInteger(2 ** 30 + Math.floor(W * 2 ** -whole)) * 2 ** -31);
  if (x >= 0) return mul(x, sigma);
  return whole === 63 && fraction === 2 ** 24 - 1 ? 0 : mul(x, mul(sigma, nearest(W * 2 ** (-30 - whole))));
}

/** gate = silu(gate) · up. */
export function siluMul(gate: Float32Array, up: Float32Array): void {
  for (let i = 0; i < gate.length; i++) gate[i] = mul(silu(gate[i]!), up[i]!);
}

/**
 * log₂ of an integer below 2^64, N ≥ 1, in units of 2^−24, rounded down but for what the squarings lose: at most 2^−30 below the real number
 * before that. Bit by bit: squaring a number of [1, 2) doubles its logarithm.
 */
export function logInteger(N: bigint): number {
  const whole = N.toString(2).length - 1;
  // In [2^31, 2^32): the first 32 bits, the rest cut off.
  let y = Number(whole >= 31 ? N >> BigInt(whole - 31) : N << BigInt(31 - whole));
  let log = whole;
  for (let i = 0; i < 24; i++) {
    // y² / 2^31, a number of [2^31, 2^33): the high word of the square doubled, and the low word's first bit.
    const high = mulHigh(y, y);
    const low = Math.imul(y, y) >>> 31;
    const square = high * 2 + low;
    const bit = square >= 2 ** 32 ? 1 : 0;
    log = log * 2 + bit;
    y = bit === 1 ? Math.floor(square / 2) : square;
  }
  return log;
}

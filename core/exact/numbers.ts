/**
 * The numbers of the arithmetic `exact` (docs/exact.md, "Numbers"): binary32 values that are finite, not subnormal and not −0, and the one
 * rounding, `rn(N, e)`: the value nearest to N · 2^e, ties to even. f64 is used where it holds the exact number, or where its own rounding
 * provably cannot be seen in the second one. Source: own definition; double rounding: Figueroa 1995, doi 10.1145/221332.221334.
 */

/** The largest binary32 number; what lies beyond becomes it. */
export const LARGEST: number = (2 - 2 ** -23) * 2 ** 127;
/** The least |x| that rounds to 2^−126 with 24 bits: a tie, which goes to the even side, up. */
const LEAST = 2 ** -126 - 2 ** -151;

/** rn of a number that f64 holds exactly. */
export function nearest(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude < LEAST) return 0;
  const y = Math.fround(x);
  return Math.max(-LARGEST, Math.min(LARGEST, y));
}

/** What enters from outside (weights, hooks): NaN becomes 0, an infinity ± the largest number, a subnormal 0. */
export const clean = (x: number): number => (Number.isNaN(x) ? 0 : nearest(x));

/** rn(a · b): the product has 48 bits, f64 holds it. */
export const mul = (a: number, b: number): number => nearest(a * b);

/** rn(a + b): f64 keeps 53 ≥ 2 · 24 + 2 bits of the sum, so rounding twice is rounding once. */
export const add = (a: number, b: number): number => nearest(a + b);

/** rn(N · 2^e) for an integer of any size. */
export function nearestInteger(N: bigint, e: number): number {
  // Number() rounds to the nearest f64: rounding that again is right unless it lies on a tie of binary32, or where numbers end.
  const y = Number(N) * 2 ** e;
  const once = Math.fround(y);
  const rest = y - once;
  const isTie = rest !== 0 && Math.fround(y + rest) === y + rest;
  if (!isTie && Math.abs(y) > 2 ** -125 && Math.abs(y) < 2 ** 127) return once;
  return nearestBitByBit(N, e);
}

function nearestBitByBit(N: bigint, e: number): number {
  let magnitude = N < 0n ? -N : N;
  if (magnitude === 0n) return 0;
  let exponent = e;
  // Keep 60 bits; a last bit says whether anything but zeros was cut off.
  const cut = magnitude.toString(2).length - 60;
  if (cut > 0) {
    const low = magnitude & ((1n << BigInt(cut)) - 1n);
    magnitude = (magnitude >> BigInt(cut)) | (low === 0n ? 0n : 1n);
    exponent += cut;
  }
  // Those to 24, ties to even.
  const shift = magnitude.toString(2).length - 24;
  if (shift > 0) {
    const half = 1n << BigInt(shift - 1);
    const rest = magnitude & (2n * half - 1n);
    magnitude >>= BigInt(shift);
    if (rest > half || (rest === half && (magnitude & 1n) === 1n)) magnitude += 1n;
    exponent += shift;
  }
  const value = Number(magnitude) * 2 ** Math.max(-1000, Math.min(900, exponent));
  if (value < 2 ** -126) return 0;
  const rounded = Math.min(value, LARGEST);
  return N < 0n ? -rounded : rounded;
}

/** rn((hi · 2^16 + lo) · 2^e) for two integers that f64 holds. */
export function nearestOfHalves(hi: number, lo: number, e: number): number {
  const whole = hi * 65536 + lo;
  if (Math.abs(hi) < 2 ** 36 && Math.abs(lo) < 2 ** 52) return nearest(whole * 2 ** e);
  return nearestInteger((BigInt(hi) << 16n) + BigInt(lo), e);
}

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

/** The word of a binary32 number. */
export function bitsOf(x: number): number {
  floats[0] = x;
  return words[0]!;
}

/**
 * Fixed rows: a row of numbers as integers times one power of two (docs/exact.md, "Fixed rows").
 * x_i ≈ v_i · 2^e with |v_i| ≤ 127 · 2^(bits − 8), so that v is `bits` / 8 signed digits of eight bits, e the least exponent for which the
 * row's largest number allows that; |x_i − v_i · 2^e| ≤ 2^(e − 1) ≤ 2^(1.02 − bits) · max |x|.
 */
import { bitsOf } from "./numbers.ts";

/** Widths that operands have: two bytes of a binary32 significand and its hidden bit, or all four digits of a word. */
export type Width = 24 | 32;

/** A row as integers: values · 2^exponent. */
export interface FixedRow {
  readonly values: Float64Array;
  readonly exponent: number;
}

/** Added and taken away again, it leaves the nearest integer, ties to even, for |y| < 2^51. */
const TO_INTEGER = 1.5 * 2 ** 52;

/** The exponent of a row whose largest |x| is `largest`. */
export const rowExponent = (largest: number, bits: Width): number => Math.max(1, (bitsOf(largest) + 0x1ffff) >>> 23) - 125 - bits;

/** Writes v of x[from ..] to values[at ..], n numbers. @returns e */
export function fixInto(
  values: Float64Array | Float32Array | Int32Array,
  at: number,
  x: ArrayLike<number>,
  from: number,
  n: number,
  bits: Width,
): number {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(x[from + i]!));
  const e = rowExponent(largest, bits);
  // A product by a power of two is exact in f64: −e is at most 156.
  const inverse = 2 ** -e;
  for (let i = 0; i < n; i++) values[at + i] = x[from + i]! * inverse + TO_INTEGER - TO_INTEGER;
  return e;
}

/** x[from .. from + n] as a fixed row. */
export function fixedRow(x: ArrayLike<number>, from: number, n: number, bits: Width): FixedRow {
  const values = new Float64Array(n);
  return { values, exponent: fixInto(values, 0, x, from, n, bits) };
}

/** binary16 and bfloat16 to wider floats in SIMD registers, exact for every finite value. Source: IEEE 754-2019, 3.4. */
import { f32x4, f64x2, i32x4, shuffleLanes, v128 } from "../assembler/instructions.ts";
import type { Value } from "../assembler/value.ts";

type V = Value<"v128">;

export const zero: V = i32x4.const(0, 0, 0, 0);

/** 16-bit lanes of a and b in turn: a0 b0 a1 b1 a2 b2 a3 b3, or those of the upper halves. */
export const interleave16Low = (a: V, b: V): V => shuffleLanes(a, b, 2, [0, 8, 1, 9, 2, 10, 3, 11]);
export const interleave16High = (a: V, b: V): V => shuffleLanes(a, b, 2, [4, 12, 5, 13, 6, 14, 7, 15]);
export const interleave32Low = (a: V, b: V): V => shuffleLanes(a, b, 4, [0, 4, 1, 5]);
export const interleave32High = (a: V, b: V): V => shuffleLanes(a, b, 4, [2, 6, 3, 7]);

/** The upper two f32 lanes as f64. */
export const promoteHigh = (a: V): V => f64x2.promote_low_f32x4(shuffleLanes(a, a, 8, [1, 1]));

/**
 * f16 in the upper halves of four 32-bit lanes, the lower halves 0, as f32: the fields moved to their places give the value times 2^−112,
 * subnormal numbers included.
 */
export const halvesToSingles = (upper: V): V =>
  f32x4.mul(v128.and(i32x4.shr_s(upper, 3), i32x4.const(0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000)), f32x4.const(2 ** 112));

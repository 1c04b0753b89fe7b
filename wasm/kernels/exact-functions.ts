/** The functions of `exact` inside a kernel: core/exact/functions.ts in integers of 64 bits. */
import { POWER } from "../../core/exact/functions.ts";
import type { Body } from "../assembler/function.ts";
import { f32, f64, i32, i64 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";

/** 2^e for an integer e of f64's normal range. */
export const powerOf = (e: Value<"i32">): Value<"f64"> =>
  f64.reinterpret_i64(i64.shl(i64.extend_i32_s(i32.add(e, i32.const(1023))), i64.const(52n)));

/** A distance as `fixedDistance` and `powerOfTwo` have it. */
export interface Distance {
  /** In units of 2^−24, at most 2^30 − 1. */
  readonly units: Local<"i32">;
  readonly whole: Local<"i64">;
  /** 2^30 · 2^(−fraction). */
  readonly power: Local<"i64">;
  readonly x: Local<"i64">;
}
export const distance = (f: Body): Distance => ({
  units: f.local("i32"),
  whole: f.local("i64"),
  power: f.local("i64"),
  x: f.local("i64"),
});
/** The largest `units`. */
export const FARTHEST: number = 2 ** 30 - 1;

/** Sets all of a distance from d ≥ 0. */
export function setDistance(f: Body, { units, whole, power, x }: Distance, d: Value<"f64">): void {
  const rounded = f64.floor(f64.add(f64.mul(d, f64.const(2 ** 24)), f64.const(0.5)));
  f.set(units, i32.trunc_f64_s(f64.min(f64.const(FARTHEST), rounded)));
  f.set(whole, i64.extend_i32_u(i32.shr_u(units, i32.const(24))));
  f.set(x, i64.extend_i32_u(i32.shl(units, i32.const(8))));
  const times = (y: Value<"i64">): Value<"i64"> => i64.shr_u(i64.mul(x, y), i64.const(32n));
  f.set(power, i64.const(BigInt(POWER[5])));
  for (let i = 4; i >= 0; i--) f.set(power, i64.sub(i64.const(BigInt(POWER[i]!)), times(power)));
  f.set(power, i64.sub(i64.const(2n ** 30n), i64.shr_u(i64.add(times(power), i64.const(2n)), i64.const(2n))));
}

/** ⌊2^61 / y⌋ as an f64, 2^30 ≤ y ≤ 2^31: exact. */
export const reciprocalInteger = (y: Value<"i64">): Value<"f64"> => f64.convert_i64_u(i64.div_u(i64.const(2n ** 61n), y));

/** ⌊2^61 / 128 m⌋ · 2^(7 − 61 − k) for x = m · 2^k > 0, m of 24 bits: what `reciprocal` rounds. */
export function reciprocal(x: Local<"f32">): Value<"f64"> {
  const bits = i32.reinterpret_f32(x);
  const significand = i32.or(i32.and(bits, i32.const(0x7fffff)), i32.const(0x800000));
  const exponent = i32.sub(i32.const(7 - 61 + 150), i32.shr_u(bits, i32.const(23)));
  return f64.mul(reciprocalInteger(i64.extend_i32_u(i32.shl(significand, i32.const(7)))), powerOf(exponent));
}

/** Exponent of a row of 32 bits whose largest number, not negative, is `largest` (core/exact/rows.ts). */
export function rowExponent32(f: Body, exponent: Local<"i32">, largest: Value<"f32">): void {
  f.set(exponent, i32.shr_u(i32.add(i32.reinterpret_f32(f32.abs(largest)), i32.const(0x1ffff)), i32.const(23)));
  f.if(i32.eqz(exponent), () => f.set(exponent, i32.const(1)));
  f.set(exponent, i32.sub(exponent, i32.const(125 + 32)));
}

/**
 * The rounding of `exact` (core/exact/numbers.ts, docs/exact.md "Numbers") inside a kernel: rn of a number that f64 holds, and rn of the sum of
 * two that need not fit one.
 */
import { LARGEST } from "../../core/exact/numbers.ts";
import type { Body } from "../assembler/function.ts";
import { f32, f64, i32, i64, select } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";

/** The least |x| that rounds to 2^−126 with 24 bits. */
const LEAST = 2 ** -126 - 2 ** -151;

/** rn(x), x an f64 that is the exact number, or rounded to odd (`sumToOdd`). */
export const nearest = (x: Local<"f64">): Value<"f32"> =>
  select(f64.lt(f64.abs(x), f64.const(LEAST)), f32.const(0), f32.max(f32.const(-LARGEST), f32.min(f32.const(LARGEST), f32.demote_f64(x))));

/** Variables of `sumToOdd`. */
export interface OddSum {
  readonly sum: Local<"f64">;
  readonly part: Local<"f64">;
  readonly error: Local<"f64">;
  readonly bits: Local<"i64">;
}
export const oddSum = (f: Body): OddSum => ({ sum: f.local("f64"), part: f.local("f64"), error: f.local("f64"), bits: f.local("i64") });

/**
 * Sets `sum` to a + b rounded to odd: of the two f64 next to a number that f64 does not hold the one whose last bit is 1. Rounding that to
 * fewer bits, two less at least, rounds a + b itself. Source: Boldo and Melquiond 2008, doi 10.1109/TC.2007.70819; the error of a sum: Knuth.
 */
export function sumToOdd(f: Body, { sum, part, error, bits }: OddSum, a: Local<"f64">, b: Local<"f64">): void {
  f.set(sum, f64.add(a, b));
  f.set(part, f64.sub(sum, a));
  f.set(error, f64.add(f64.sub(a, f64.sub(sum, part)), f64.sub(b, part)));
  f.if(i32.eqz(f64.eq(error, f64.const(0))), () => {
    f.set(bits, i64.reinterpret_f64(sum));
    // An even last bit: one step towards the exact sum, up in magnitude where the signs of sum and error agree.
    f.if(i32.eqz(i32.wrap_i64(i64.and(bits, i64.const(1n)))), () => {
      const away = i32.eq(f64.gt(sum, f64.const(0)), f64.gt(error, f64.const(0)));
      f.set(sum, f64.reinterpret_i64(select(away, i64.add(bits, i64.const(1n)), i64.sub(bits, i64.const(1n)))));
    });
  });
}

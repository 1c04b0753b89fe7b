/**
 * Rows of a stored matrix as a tile: tile[k, r] = w[r, k] for 16 rows r and `count` columns k, f64 times a power of two (`scaleOf`).
 * w starts at `from`, `stride` bytes from row to row; where fewer than 16 rows are there, the last one stands for the missing.
 * A 16-bit float becomes an f64 by moving its fields: sign and exponent to the upper word's. bfloat16 leave it at that, which is the value times
 * 2^(127 − 1023): x carries a power of two that keeps every product in f64's normal range, the sum is put right at the end, and powers of two
 * change no rounding. f16 have subnormal numbers among usual weights, one in some 400, and processors take some hundred cycles to multiply with a
 * subnormal f64: their exponents are moved to f64's own, and the few vectors with a subnormal number or a zero take a longer way.
 * For `exact` rows become fixed rows on the way (core/exact/rows.ts): `rounding` has for each row 1.5 · 2^52 units of it; added and taken away again it
 * leaves the nearest multiple of the unit, ties to even.
 */
import type { FloatDType } from "../../core/dtype.ts";
import type { Body } from "../assembler/function.ts";
import { f64, f64x2, i16x8, i32, i32x4, i64, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { interleave16High, interleave16Low, interleave32High, interleave32Low, promoteHigh, zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { TILE, TILE_BYTES } from "./tile-product.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Bytes of an element. */
export const widthOf: Readonly<Record<FloatDType, number>> = { F16: 2, BF16: 2, F32: 4 };

/** What x is multiplied with, and each sum after all. */
export const scaleOf: Readonly<Record<FloatDType, { readonly x: number; readonly sum: number }>> = {
  F16: { x: 1, sum: 1 },
  BF16: { x: 2 ** 448, sum: 2 ** (896 - 448) },
  F32: { x: 1, sum: 1 },
};

/** Bits from a 16-bit float in a word's upper half to an f64's upper word: how far right, what of it stays, what the exponent lacks. */
const move = { F16: { by: 6, mask: 0x81fffc00, more: 1008 << 20 }, BF16: { by: 3, mask: 0x8fffe000, more: 0 } } as const;
/** f16's exponent there, and in a word of two f16. */
const EXPONENT = 31 << 20;
const EXPONENTS = 0x7c007c00;

const quad = (n: number): Value<"v128"> => i32x4.const(n, n, n, n);

/** What is stored of two wide numbers. */
type Finish = (wide: Value<"v128">) => Value<"v128">;

/** 16-bit floats of two rows, eight k at a time. */
function expandHalves(dtype: "F16" | "BF16", f: Body, a: L, b: L, to: L, count: L, finish: Finish): void {
  const { by, mask, more } = move[dtype];
  const [end, one] = f.locals("i32", 2) as [L, L];
  const [x, y, upper, small] = f.locals("v128", 4) as [V, V, V, V];
  /** Sixteen numbers: a0 b0 a1 b1 … as the upper halves of words, then each word as the upper half of an f64. */
  const store = (anySmall: boolean): void => {
    for (const [eight, pairs] of [interleave16Low(x, y), interleave16High(x, y)].entries())
      for (const [four, words] of [interleave16Low(zero, pairs), interleave16High(zero, pairs)].entries()) {
        const k = 4 * eight + 2 * four;
        const fields = v128.and(i32x4.shr_s(words, by), quad(mask));
        if (!anySmall) f.set(upper, more === 0 ? fields : i32x4.add(fields, quad(more)));
        else {
          // Exponent 0: (1 + fraction) · 2^−14 − 2^−14.
          f.set(upper, fields);
          f.set(small, i32x4.eq(v128.and(upper, quad(EXPONENT)), zero));
          const without = v128.or(v128.and(upper, quad(1 << 31)), quad((1023 - 14) << 20));
          f.set(upper, i32x4.add(upper, i32x4.sub(quad(more), i32x4.shl(small, 20))));
          f.set(small, v128.and(small, without));
        }
        for (const [odd, interleave] of [interleave32Low, interleave32High].entries()) {
          const wide = interleave(zero, upper);
          f.do(v128.store(to, finish(anySmall ? f64x2.sub(wide, interleave(zero, small)) : wide), TILE_BYTES * (k + odd)));
        }
      }
  };
  f.set(end, i32.add(a, i32.and(i32.shl(count, i32.const(1)), i32.const(-16))));
  f.for(a, a, end, i32.const(16), () => {
    f.set(x, v128.load(a));
    f.set(y, v128.load(b));
    if (dtype === "F16") {
      const isSmall = (halves: V): Value<"v128"> => i16x8.eq(v128.and(halves, quad(EXPONENTS)), zero);
      f.if(
        v128.any_true(v128.or(isSmall(x), isSmall(y))),
        () => store(true),
        () => store(false),
      );
    } else store(false);
    f.set(b, i32.add(b, i32.const(16)));
    f.set(to, i32.add(to, i32.const(8 * TILE_BYTES)));
  });
  // The k after the last eight, one by one.
  f.set(end, i32.add(a, i32.shl(i32.and(count, i32.const(7)), i32.const(1))));
  f.for(a, a, end, i32.const(2), () => {
    for (const [lane, address] of [a, b].entries()) {
      f.set(one, i32.and(i32.shr_s(i32.shl(i32.load16_u(address), i32.const(16)), i32.const(by)), i32.const(mask)));
      const asF64 = (word: Value<"i32">): Value<"f64"> => f64.reinterpret_i64(i64.shl(i64.extend_i32_u(word), i64.const(32n)));
      const whole = asF64(i32.add(one, i32.const(more)));
      f.do(f64.store(to, whole, 8 * lane));
      if (dtype === "F16")
        f.if(i32.eqz(i32.and(one, i32.const(EXPONENT))), () => {
          const without = i32.or(i32.and(one, i32.const(1 << 31)), i32.const((1023 - 14) << 20));
          f.do(f64.store(to, f64.sub(asF64(i32.add(one, i32.const(more + (1 << 20)))), asF64(without)), 8 * lane));
        });
    }
    f.do(v128.store(to, finish(v128.load(to))));
    f.set(b, i32.add(b, i32.const(2)));
    f.set(to, i32.add(to, i32.const(TILE_BYTES)));
  });
}

/** f32 of two rows, four k at a time; what a last load reads beyond `count` is not stored. */
function expandSingles(f: Body, a: L, b: L, to: L, count: L, finish: Finish): void {
  const [end, left] = f.locals("i32", 2) as [L, L];
  const [x, y, pairs] = f.locals("v128", 3) as [V, V, V];
  f.set(end, i32.add(a, i32.shl(count, i32.const(2))));
  f.set(left, count);
  f.for(a, a, end, i32.const(16), () => {
    f.set(x, v128.load(a));
    f.set(y, v128.load(b));
    [interleave32Low(x, y), interleave32High(x, y)].forEach((two, half) => {
      f.set(pairs, two);
      [f64x2.promote_low_f32x4(pairs), promoteHigh(pairs)].forEach((wide, odd) => {
        const k = 2 * half + odd;
        f.if(i32.gt_u(left, i32.const(k)), () => f.do(v128.store(to, finish(wide), TILE_BYTES * k)));
      });
    });
    f.set(b, i32.add(b, i32.const(16)));
    f.set(to, i32.add(to, i32.const(4 * TILE_BYTES)));
    f.set(left, i32.sub(left, i32.const(4)));
  });
}

function writeExpand(
  dtype: FloatDType,
  f: Body,
  p: Readonly<Record<"tile" | "from" | "stride" | "rows" | "count", L>>,
  rounding: L | undefined,
): void {
  const [pair, row, a, b, to] = f.locals("i32", 5) as [L, L, L, L, L];
  const unit: V = f.local("v128");
  const finish: Finish = rounding ? (wide) => f64x2.sub(f64x2.add(wide, unit), unit) : (wide) => wide;
  const address = (r: Value<"i32">): void => {
    f.set(row, r);
    f.if(i32.ge_u(row, p.rows), () => f.set(row, i32.sub(p.rows, i32.const(1))));
  };
  f.for(pair, i32.const(0), i32.const(TILE / 2), i32.const(1), () => {
    address(i32.shl(pair, i32.const(1)));
    f.set(a, i32.add(p.from, i32.mul(row, p.stride)));
    address(i32.add(i32.shl(pair, i32.const(1)), i32.const(1)));
    f.set(b, i32.add(p.from, i32.mul(row, p.stride)));
    f.set(to, i32.add(p.tile, i32.shl(pair, i32.const(4))));
    if (rounding) f.set(unit, v128.load(i32.add(rounding, i32.shl(pair, i32.const(4)))));
    if (dtype === "F32") expandSingles(f, a, b, to, p.count, finish);
    else expandHalves(dtype, f, a, b, to, p.count, finish);
  });
}

const params = ["tile", "from", "stride", "rows", "count"] as const;
const expand = (dtype: FloatDType): Kernel =>
  kernel(`expand-${dtype.toLowerCase()}`, params, (f, p) => writeExpand(dtype, f, p, undefined));
const expandFixed = (dtype: FloatDType): Kernel =>
  kernel(`expand-fixed-${dtype.toLowerCase()}`, [...params, "rounding"], (f, p) => writeExpand(dtype, f, p, p.rounding));

export const expandF16: Kernel = expand("F16");
export const expandBF16: Kernel = expand("BF16");
export const expandF32: Kernel = expand("F32");
export const expandFixedF16: Kernel = expandFixed("F16");
export const expandFixedBF16: Kernel = expandFixed("BF16");
export const expandFixedF32: Kernel = expandFixed("F32");

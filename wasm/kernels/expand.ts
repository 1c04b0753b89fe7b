/**
 * Rows of a stored matrix as a tile: tile[k, r] = w[r, k] for 16 rows r and `count` columns k, f64 times a power of two (`scaleOf`).
 * w starts at `from`, `stride` bytes from row to row; where fewer than 16 rows are there, the last one stands for the missing.
 * A 16- or 32-bit float becomes an f64 by moving its fields: sign and exponent to the upper word's, no addition to the exponent, which leaves
 * the value times 2^(bias − 1023). x carries a power of two that keeps every product in f64's normal range, the sum is put right at the end:
 * powers of two change no rounding.
 */
import type { FloatDType } from "../../core/dtype.ts";
import type { Body } from "../assembler/function.ts";
import { f64, f64x2, i32, i32x4, i64, v128 } from "../assembler/instructions.ts";
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
  F16: { x: 2 ** 512, sum: 2 ** (1008 - 512) },
  BF16: { x: 2 ** 448, sum: 2 ** (896 - 448) },
  F32: { x: 1, sum: 1 },
};

/** Bits from a 16-bit float in a word's upper half to an f64's upper word: how far right, and what of it stays. */
const move = { F16: { by: 6, mask: 0x81fffc00 }, BF16: { by: 3, mask: 0x8fffe000 } } as const;

const quad = (n: number): Value<"v128"> => i32x4.const(n, n, n, n);

/** 16-bit floats of two rows, eight k at a time. */
function expandHalves(dtype: "F16" | "BF16", f: Body, a: L, b: L, to: L, count: L): void {
  const { by, mask } = move[dtype];
  const [end, one] = f.locals("i32", 2) as [L, L];
  const [x, y, upper] = f.locals("v128", 3) as [V, V, V];
  f.set(end, i32.add(a, i32.and(i32.shl(count, i32.const(1)), i32.const(-16))));
  f.for(a, a, end, i32.const(16), () => {
    f.set(x, v128.load(a));
    f.set(y, v128.load(b));
    // a0 b0 a1 b1 … as the upper halves of words, then each word as the upper half of an f64.
    for (const [eight, pairs] of [interleave16Low(x, y), interleave16High(x, y)].entries())
      for (const [four, words] of [interleave16Low(zero, pairs), interleave16High(zero, pairs)].entries()) {
        f.set(upper, v128.and(i32x4.shr_s(words, by), quad(mask)));
        const k = 4 * eight + 2 * four;
        f.do(v128.store(to, interleave32Low(zero, upper), TILE_BYTES * k));
        f.do(v128.store(to, interleave32High(zero, upper), TILE_BYTES * (k + 1)));
      }
    f.set(b, i32.add(b, i32.const(16)));
    f.set(to, i32.add(to, i32.const(8 * TILE_BYTES)));
  });
  // The k after the last eight, one by one.
  f.set(end, i32.add(a, i32.shl(i32.and(count, i32.const(7)), i32.const(1))));
  f.for(a, a, end, i32.const(2), () => {
    for (const [lane, address] of [a, b].entries()) {
      f.set(one, i32.and(i32.shr_s(i32.shl(i32.load16_u(address), i32.const(16)), i32.const(by)), i32.const(mask)));
      f.do(f64.store(to, f64.reinterpret_i64(i64.shl(i64.extend_i32_u(one), i64.const(32n))), 8 * lane));
    }
    f.set(b, i32.add(b, i32.const(2)));
    f.set(to, i32.add(to, i32.const(TILE_BYTES)));
  });
}

/** f32 of two rows, four k at a time; what a last load reads beyond `count` is not stored. */
function expandSingles(f: Body, a: L, b: L, to: L, count: L): void {
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
        f.if(i32.gt_u(left, i32.const(k)), () => f.do(v128.store(to, wide, TILE_BYTES * k)));
      });
    });
    f.set(b, i32.add(b, i32.const(16)));
    f.set(to, i32.add(to, i32.const(4 * TILE_BYTES)));
    f.set(left, i32.sub(left, i32.const(4)));
  });
}

const expand = (dtype: FloatDType): Kernel =>
  kernel(`expand-${dtype.toLowerCase()}`, ["tile", "from", "stride", "rows", "count"], (f, p) => {
    const [pair, row, a, b, to] = f.locals("i32", 5) as [L, L, L, L, L];
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
      if (dtype === "F32") expandSingles(f, a, b, to, p.count);
      else expandHalves(dtype, f, a, b, to, p.count);
    });
  });

export const expandF16: Kernel = expand("F16");
export const expandBF16: Kernel = expand("BF16");
export const expandF32: Kernel = expand("F32");

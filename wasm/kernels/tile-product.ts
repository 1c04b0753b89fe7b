/**
 * acc[t, j] += Σ_k x[t, k] · tile[k, j], k ascending, f64: the inner loop of every kernel for more than one row.
 * tile [count, 16], acc [T, 16]; x by fours of rows, [T/4, K, 4], so that one address serves four rows: `x` is where row 0 meets the tile's
 * first k, `fours` the bytes from one four to the next. Four rows by four columns at a time are eight sums in registers; rows that are
 * left over take all sixteen columns one by one.
 */
import type { Body } from "../assembler/function.ts";
import { f64x2, i32, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { promoteHigh } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Columns of a tile, and bytes of one of its rows. */
export const TILE = 16;
export const TILE_BYTES: number = 8 * TILE;
/** Rows of x side by side, and bytes of one k of theirs. */
export const FOUR = 4;
export const FOUR_BYTES: number = 8 * FOUR;
/** Rows of a tile that fit the first cache beside their part of x. */
export const TILE_ROWS = 128;

/** Where element [row / 4, index, row % 4] of fours of rows lies, where one four takes `bytes`. */
export const inFours = (base: Local<"i32">, bytes: Local<"i32">, row: Value<"i32">, index: Local<"i32">): Value<"i32"> =>
  i32.add(
    i32.add(base, i32.mul(i32.shr_u(row, i32.const(2)), bytes)),
    i32.add(i32.mul(index, i32.const(FOUR_BYTES)), i32.shl(i32.and(row, i32.const(FOUR - 1)), i32.const(3))),
  );

/** Writes `rows` rows of 16 f32, `rowBytes` apart from `from` on, to a tile; leaves `from` behind the last. */
export function widenTile(
  f: Body,
  tile: L,
  { from, rows, rowBytes, at }: Readonly<Record<"from" | "rows" | "rowBytes" | "at", L>>,
  four: V,
): void {
  f.for(at, tile, i32.add(tile, i32.mul(rows, i32.const(TILE_BYTES))), i32.const(TILE_BYTES), () => {
    for (let j = 0; j < 4; j++) {
      f.set(four, v128.load(from, 16 * j));
      f.do(v128.store(at, f64x2.promote_low_f32x4(four), 32 * j));
      f.do(v128.store(at, promoteHigh(four), 32 * j + 16));
    }
    f.set(from, i32.add(from, rowBytes));
  });
}

export const tileProduct: Kernel = kernel("tile-product", ["acc", "tile", "x", "count", "T", "fours"], (f, p, { madd }) => {
  const [t, at, w, end, xk, rest] = f.locals("i32", 6) as [L, L, L, L, L, L];
  const sums = f.locals("v128", 8);
  const [low, high, splat] = f.locals("v128", 3) as [V, V, V];
  const c = i32.const;
  f.set(end, i32.add(p.tile, i32.mul(p.count, c(TILE_BYTES))));
  // Fours of rows.
  f.set(rest, i32.and(p.T, c(-FOUR)));
  f.for(t, c(0), rest, c(FOUR), () => {
    for (let quarter = 0; quarter < 4; quarter++) {
      const offset = (row: number, half: number): number => TILE_BYTES * row + FOUR_BYTES * quarter + 16 * half;
      f.set(at, i32.add(p.acc, i32.mul(t, c(TILE_BYTES))));
      for (const [i, sum] of sums.entries()) f.set(sum, v128.load(at, offset(i >> 1, i & 1)));
      f.set(xk, p.x);
      f.for(w, p.tile, end, c(TILE_BYTES), () => {
        f.set(low, v128.load(w, offset(0, 0)));
        f.set(high, v128.load(w, offset(0, 1)));
        for (let row = 0; row < FOUR; row++) {
          f.set(splat, v128.load64_splat(xk, 8 * row));
          f.set(sums[2 * row]!, madd(sums[2 * row]!, splat, low));
          f.set(sums[2 * row + 1]!, madd(sums[2 * row + 1]!, splat, high));
        }
        f.set(xk, i32.add(xk, c(FOUR_BYTES)));
      });
      for (const [i, sum] of sums.entries()) f.do(v128.store(at, sum, offset(i >> 1, i & 1)));
    }
    f.set(p.x, i32.add(p.x, p.fours));
  });
  // The rows after the last four.
  f.for(t, rest, p.T, c(1), () => {
    f.set(at, i32.add(p.acc, i32.mul(t, c(TILE_BYTES))));
    for (const [i, sum] of sums.entries()) f.set(sum, v128.load(at, 16 * i));
    f.set(xk, i32.add(p.x, i32.shl(i32.sub(t, rest), c(3))));
    f.for(w, p.tile, end, c(TILE_BYTES), () => {
      f.set(splat, v128.load64_splat(xk));
      for (const [i, sum] of sums.entries()) f.set(sum, madd(sum, splat, v128.load(w, 16 * i)));
      f.set(xk, i32.add(xk, c(FOUR_BYTES)));
    });
    for (const [i, sum] of sums.entries()) f.do(v128.store(at, sum, 16 * i));
  });
});

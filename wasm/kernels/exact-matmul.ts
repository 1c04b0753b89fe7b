/**
 * out[t, n] = rn(Σ_k v_tk w_nk, e_t + f_n) + bias[n] of `exact`, W [N, K] brought to fixed rows as it is read; twin of core/exact/linear.ts, bit for
 * bit, one kernel for each type that W is stored in.
 * `whole` are v by fours of rows [T/4, K, 4] f64 times scaleOf[dtype].x (tile-product.ts, expand.ts), `digits` the same of 2T rows: first v's upper
 * digit times its weight, then the lower one, each of at most 16 bits, so that no sum of theirs with w is rounded. Where the norms of v and of
 * a unit's rows say that Σ v w stays below 2^53 anyway, v are taken whole: `norms` [N/16], `powers` the largest norm for which that holds,
 * then 2^e_t · scaleOf[dtype].sum for each t, f64. `rounding` [N] as in expand.ts.
 * A unit of work is 16 outputs. Scratch: a tile and sums [2T, 16] f64.
 */
import type { FloatDType } from "../../core/dtype.ts";
import { f32, f64, i32, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { nearest, oddSum, sumToOdd } from "./exact-round.ts";
import { widthOf } from "./expand.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { FOUR_BYTES, TILE, TILE_BYTES, TILE_ROWS } from "./tile-product.ts";

type L = Local<"i32">;

/** Bytes of scratch for T rows. */
export const exactMatmulScratch = (T: number): number => TILE_BYTES * (TILE_ROWS + 2 * T);

const exactMatmul = (dtype: FloatDType): Kernel =>
  kernel(
    `exact-matmul-${dtype.toLowerCase()}`,
    ["scratch", "from", "to", "whole", "digits", "weight", "rounding", "norms", "powers", "bias", "out", "K", "N", "T"],
    (f, p, { kernel }) => {
      const [unit, n, rows, k, columns, sums, sumsEnd, at, stride] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
      const [row, r, output, x, xRows, lower, power, four, rounding] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
      const [high, low, y] = f.locals("f64", 3) as [Local<"f64">, Local<"f64">, Local<"f64">];
      const single = f.local("f32");
      const odd = oddSum(f);
      const c = i32.const;
      f.set(stride, i32.mul(p.K, c(widthOf[dtype])));
      f.set(four, i32.mul(p.K, c(FOUR_BYTES)));
      f.set(sums, i32.add(p.scratch, c(TILE_ROWS * TILE_BYTES)));
      f.for(unit, p.from, p.to, c(1), () => {
        f.set(n, i32.mul(unit, c(TILE)));
        f.set(rows, i32.sub(p.N, n));
        f.if(i32.gt_u(rows, c(TILE)), () => f.set(rows, c(TILE)));
        f.set(rounding, i32.add(p.rounding, i32.shl(n, c(3))));
        f.set(x, p.digits);
        f.set(xRows, i32.shl(p.T, c(1)));
        f.if(f64.lt(f64.load(i32.add(p.norms, i32.shl(unit, c(3)))), f64.load(p.powers)), () => {
          f.set(x, p.whole);
          f.set(xRows, p.T);
        });
        f.set(sumsEnd, i32.add(sums, i32.mul(p.T, c(2 * TILE_BYTES))));
        f.for(at, sums, sumsEnd, c(16), () => f.do(v128.store(at, zero)));
        f.for(k, c(0), p.K, c(TILE_ROWS), () => {
          f.set(columns, i32.sub(p.K, k));
          f.if(i32.gt_u(columns, c(TILE_ROWS)), () => f.set(columns, c(TILE_ROWS)));
          f.set(row, i32.add(p.weight, i32.add(i32.mul(n, stride), i32.mul(k, c(widthOf[dtype])))));
          f.call(kernel(`expand-fixed-${dtype.toLowerCase()}`), p.scratch, row, stride, rows, columns, rounding);
          f.call(kernel("tile-product"), sums, p.scratch, i32.add(x, i32.mul(k, c(FOUR_BYTES))), columns, xRows, four);
        });
        // Of whole rows the lower sums are 0.
        f.set(output, i32.add(p.out, i32.shl(n, c(2))));
        f.set(lower, i32.mul(p.T, c(TILE_BYTES)));
        f.set(power, p.powers);
        f.for(at, sums, i32.add(sums, lower), c(TILE_BYTES), () => {
          f.set(power, i32.add(power, c(8)));
          f.for(r, c(0), rows, c(1), () => {
            const column = i32.shl(r, c(3));
            f.set(high, f64.load(i32.add(at, column)));
            f.set(low, f64.load(i32.add(i32.add(at, lower), column)));
            sumToOdd(f, odd, high, low);
            f.set(y, f64.mul(odd.sum, f64.load(power)));
            f.set(single, nearest(y));
            f.if(p.bias, () => {
              const bias = f32.load(i32.add(p.bias, i32.shl(i32.add(n, r), c(2))));
              f.set(y, f64.add(f64.promote_f32(single), f64.promote_f32(bias)));
              f.set(single, nearest(y));
            });
            f.do(f32.store(i32.add(output, i32.shl(r, c(2))), single));
          });
          f.set(output, i32.add(output, i32.shl(p.N, c(2))));
        });
      });
    },
  );

export const exactMatmulF16: Kernel = exactMatmul("F16");
export const exactMatmulBF16: Kernel = exactMatmul("BF16");
export const exactMatmulF32: Kernel = exactMatmul("F32");

/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n]; twin of core/ops/matmul.ts, bit for bit, one kernel for each type that W [N, K] is stored in.
 * x by fours of rows [T/4, K, 4] f64 times scaleOf[dtype].x (tile-product.ts, expand.ts), bias [N] f32 or address 0, out [T, N] f32.
 * A unit of work is 16 outputs n. 128 columns k of their rows are expanded at a time, for all T. Scratch: that tile and sums [T, 16] f64.
 * W must be finite: infinity and NaN have no place in what `expand` does (F16, BF16).
 */
import type { FloatDType } from "../../core/dtype.ts";
import { f32, f64, i32, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { scaleOf, widthOf } from "./expand.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { FOUR_BYTES, TILE, TILE_BYTES, TILE_ROWS } from "./tile-product.ts";

type L = Local<"i32">;

/** Bytes of scratch for T rows. */
export const matmulScratch = (T: number): number => TILE_BYTES * (TILE_ROWS + T);

const matmul = (dtype: FloatDType): Kernel =>
  kernel(`matmul-${dtype.toLowerCase()}`, ["scratch", "from", "to", "x", "weight", "bias", "out", "K", "N", "T"], (f, p, { kernel }) => {
    const [unit, n, rows, k, columns, sums, sumsEnd, at, stride, row, r, output] = f.locals("i32", 12) as [
      L,
      L,
      L,
      L,
      L,
      L,
      L,
      L,
      L,
      L,
      L,
      L,
    ];
    const y = f.local("f64");
    const c = i32.const;
    f.set(stride, i32.mul(p.K, c(widthOf[dtype])));
    f.set(sums, i32.add(p.scratch, c(TILE_ROWS * TILE_BYTES)));
    f.set(sumsEnd, i32.add(sums, i32.mul(p.T, c(TILE_BYTES))));
    f.for(unit, p.from, p.to, c(1), () => {
      f.set(n, i32.mul(unit, c(TILE)));
      f.set(rows, i32.sub(p.N, n));
      f.if(i32.gt_u(rows, c(TILE)), () => f.set(rows, c(TILE)));
      f.for(at, sums, sumsEnd, c(16), () => f.do(v128.store(at, zero)));
      f.for(k, c(0), p.K, c(TILE_ROWS), () => {
        f.set(columns, i32.sub(p.K, k));
        f.if(i32.gt_u(columns, c(TILE_ROWS)), () => f.set(columns, c(TILE_ROWS)));
        f.set(row, i32.add(p.weight, i32.add(i32.mul(n, stride), i32.mul(k, c(widthOf[dtype])))));
        f.call(kernel(`expand-${dtype.toLowerCase()}`), p.scratch, row, stride, rows, columns);
        const x = i32.add(p.x, i32.mul(k, c(FOUR_BYTES)));
        f.call(kernel("tile-product"), sums, p.scratch, x, columns, p.T, i32.mul(p.K, c(FOUR_BYTES)));
      });
      f.set(output, i32.add(p.out, i32.shl(n, c(2))));
      f.for(at, sums, sumsEnd, c(TILE_BYTES), () => {
        f.for(r, c(0), rows, c(1), () => {
          f.set(y, f64.load(i32.add(at, i32.shl(r, c(3)))));
          if (scaleOf[dtype].sum !== 1) f.set(y, f64.mul(y, f64.const(scaleOf[dtype].sum)));
          const biasAt = i32.add(p.bias, i32.shl(i32.add(n, r), c(2)));
          f.if(p.bias, () => f.set(y, f64.add(y, f64.promote_f32(f32.load(biasAt)))));
          f.do(f32.store(i32.add(output, i32.shl(r, c(2))), f32.demote_f64(y)));
        });
        f.set(output, i32.add(output, i32.shl(p.N, c(2))));
      });
    });
  });

export const matmulF16: Kernel = matmul("F16");
export const matmulBF16: Kernel = matmul("BF16");
export const matmulF32: Kernel = matmul("F32");

/**
 * out[t, d] = x[t, d] / √(mean_d x[t, d]² + eps) · weight[d]; twin of core/ops/rms-norm.ts, bit for bit.
 * x, out [T, D], weight [D] f32; `constants` is the address of D and eps, f64. A unit of work is eight rows: each row's squares are a chain
 * of additions, so eight chains go side by side, two a vector. Where fewer rows are left, the last one stands for the missing and is
 * written once. Scratch: eight sums f64.
 */
import { f32, f32x4, f64, f64x2, i32, shuffleLanes, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { interleave32High, interleave32Low, promoteHigh, zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Rows of a unit. */
export const NORM_ROWS = 8;
export const rmsNormScratch: number = 8 * NORM_ROWS;

export const rmsNorm: Kernel = kernel(
  "rms-norm",
  ["scratch", "from", "to", "x", "weight", "out", "constants", "D", "T"],
  (f, p, { madd }) => {
    const [unit, row, d, whole, rowBytes, at, left, to] = f.locals("i32", 8) as [L, L, L, L, L, L, L, L];
    const rows = f.locals("i32", NORM_ROWS);
    const sums = f.locals("v128", NORM_ROWS / 2);
    const [pairs, scale, weights, low] = f.locals("v128", 4) as [V, V, V, V];
    const [sum, x] = f.locals("f64", 2) as [Local<"f64">, Local<"f64">];
    const c = i32.const;
    f.set(rowBytes, i32.shl(p.D, c(2)));
    f.set(whole, i32.and(p.D, c(-4)));
    f.for(unit, p.from, p.to, c(1), () => {
      for (const [i, address] of rows.entries()) {
        f.set(row, i32.add(i32.mul(unit, c(NORM_ROWS)), c(i)));
        f.if(i32.ge_u(row, p.T), () => f.set(row, i32.sub(p.T, c(1))));
        f.set(address, i32.add(p.x, i32.mul(row, rowBytes)));
      }
      // Σ x² of two rows in each vector, four d at a time; a square is exact in f64.
      for (const s of sums) f.set(s, zero);
      f.for(d, c(0), whole, c(4), () => {
        for (const [i, s] of sums.entries()) {
          const [a, b] = [v128.load(rows[2 * i]!), v128.load(rows[2 * i + 1]!)];
          for (const interleave of [interleave32Low, interleave32High]) {
            f.set(pairs, interleave(a, b));
            for (const wide of [f64x2.promote_low_f32x4(pairs), promoteHigh(pairs)]) {
              f.set(low, wide);
              f.set(s, madd(s, low, low));
            }
          }
        }
        for (const address of rows) f.set(address, i32.add(address, c(16)));
      });
      for (const [i, s] of sums.entries()) f.do(v128.store(p.scratch, s, 16 * i));
      for (const [i, address] of rows.entries()) {
        f.set(sum, f64.load(p.scratch, 8 * i));
        f.for(d, whole, p.D, c(1), () => {
          f.set(x, f64.promote_f32(f32.load(address)));
          f.set(sum, f64.add(sum, f64.mul(x, x)));
          f.set(address, i32.add(address, c(4)));
        });
        f.do(f64.store(p.scratch, sum, 8 * i));
      }
      // x · (1 / √(Σ / D + eps)) · weight, two products, each rounded in f64.
      f.set(left, i32.sub(p.T, i32.mul(unit, c(NORM_ROWS))));
      f.if(i32.gt_u(left, c(NORM_ROWS)), () => f.set(left, c(NORM_ROWS)));
      f.for(row, c(0), left, c(1), () => {
        const [first, eps] = [f64.load(p.constants), f64.load(p.constants, 8)];
        const mean = f64.div(f64.load(i32.add(p.scratch, i32.shl(row, c(3)))), first);
        f.set(sum, f64.div(f64.const(1), f64.sqrt(f64.add(mean, eps))));
        f.set(scale, f64x2.splat(sum));
        f.set(at, i32.mul(i32.add(i32.mul(unit, c(NORM_ROWS)), row), rowBytes));
        f.set(to, i32.add(p.out, at));
        f.set(at, i32.add(p.x, at));
        f.for(d, c(0), i32.shl(whole, c(2)), c(16), () => {
          f.set(pairs, v128.load(i32.add(at, d)));
          f.set(weights, v128.load(i32.add(p.weight, d)));
          const product = (half: (a: Value<"v128">) => Value<"v128">): Value<"v128"> =>
            f32x4.demote_f64x2_zero(f64x2.mul(f64x2.mul(half(pairs), scale), half(weights)));
          f.set(low, product(f64x2.promote_low_f32x4));
          f.set(pairs, product(promoteHigh));
          f.do(v128.store(i32.add(to, d), shuffleLanes(low, pairs, 8, [0, 2])));
        });
        f.for(d, i32.shl(whole, c(2)), rowBytes, c(4), () => {
          f.set(x, f64.mul(f64.promote_f32(f32.load(i32.add(at, d))), sum));
          f.set(x, f64.mul(x, f64.promote_f32(f32.load(i32.add(p.weight, d)))));
          f.do(f32.store(i32.add(to, d), f32.demote_f64(x)));
        });
      });
    });
  },
);

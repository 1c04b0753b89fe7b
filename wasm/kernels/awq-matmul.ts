/**
 * out[n] = Σ_g s[g, n] · Σ_{k in g} x[k] · (q[k, n] − z[g, n]) + bias[n], one row; twin of core/ops/awq-matmul.ts, bit for bit.
 * x [K] f64, qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16 as the checkpoint has them, bias [N] f32 or address 0, out [N] f32.
 * A unit of work is a pair of words (awq.ts), 16 columns; an odd last word counts as a pair whose second half is not stored.
 * Sixteen pairs share two cache lines of each row of qweight. At most 128 rows of these are copied to where they lie side by side (rows a
 * power of two apart would evict one another), then each pair goes through them with its eight sums in registers.
 * Scratch: words [128 rows, 16 pairs, 2], sums of the group and of all groups [16 pairs, 8 nibbles, 2] f64.
 * Four instructions for two weights (mask, subtract, multiply, add) are what limits it, not memory.
 */
import { columnOfNibble } from "../../core/quant/awq-format.ts";
import { f32, f64, f64x2, i32, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { copyChunk, LINE, loadPair, loadScales, masked, nibbleMask, PAIRS } from "./awq.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Rows copied at a time. */
const ROWS = 128;
/** Bytes of one pair's sums, and of all. */
const PAIR_SUMS = 128;
const SUMS = PAIRS * PAIR_SUMS;

export const awqMatmulScratch: number = ROWS * LINE + 2 * SUMS;

export const awqMatmul: Kernel = kernel(
  "awq-matmul",
  ["scratch", "from", "to", "x", "qweight", "qzeros", "scales", "bias", "out", "K", "words", "groupSize"],
  (f, p, { madd }) => {
    const [block, end, pair, g, groups, rowBytes, k, rows, row] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [from, to, toEnd, x, sum, at, n, partial, lane] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [masks, zeros, sums] = [f.locals("v128", 4), f.locals("v128", 4), f.locals("v128", 4)];
    const scale = f.locals("v128", 8);
    const [word, xk, ...temp] = f.locals("v128", 8) as [V, V, ...V[]];
    const y = f.local("f64");
    const c = i32.const;
    f.set(rowBytes, i32.shl(p.words, c(2)));
    f.set(groups, i32.div_u(p.K, p.groupSize));
    f.set(sum, i32.add(p.scratch, c(ROWS * LINE)));
    f.for(block, p.from, p.to, c(PAIRS), () => {
      f.set(end, i32.add(block, c(PAIRS)));
      f.if(i32.gt_u(end, p.to), () => f.set(end, p.to));
      f.for(at, sum, i32.add(sum, c(2 * SUMS)), c(16), () => f.do(v128.store(at, zero)));
      f.for(g, c(0), groups, c(1), () => {
        f.for(k, c(0), p.groupSize, c(ROWS), () => {
          copyChunk(f, p, { g, k, rows, row, from, to, toEnd, rowBytes }, ROWS, i32.shl(block, c(3)));
          f.for(pair, block, end, c(1), () => {
            f.set(lane, i32.sub(pair, block));
            f.set(at, i32.add(sum, i32.mul(lane, c(PAIR_SUMS))));
            // Four nibbles at a time: sums, masks and zero points stay in registers, and nothing of the loop lies on the stack.
            for (const half of [0, 4]) {
              // z · 16^i + 2^52 of the group.
              f.set(word, loadPair(i32.add(p.qzeros, i32.add(i32.mul(g, rowBytes), i32.shl(pair, c(3))))));
              for (const [i, mask] of masks.entries()) f.set(mask, nibbleMask(half + i));
              for (const [i, z] of zeros.entries()) f.set(z, masked(word, masks[i]!));
              // Σ_k x[k] · (q − z) · 16^i over these rows.
              for (const [i, s] of sums.entries()) f.set(s, v128.load(at, 16 * (half + i)));
              f.set(x, i32.add(p.x, i32.shl(row, c(3))));
              f.for(to, i32.add(p.scratch, i32.shl(lane, c(3))), toEnd, c(LINE), () => {
                f.set(word, loadPair(to));
                f.set(xk, v128.load64_splat(x));
                for (const [i, s] of sums.entries()) f.set(s, madd(s, xk, f64x2.sub(masked(word, masks[i]!), zeros[i]!)));
                f.set(x, i32.add(x, c(8)));
              });
              for (const [i, s] of sums.entries()) f.do(v128.store(at, s, 16 * (half + i)));
            }
          });
        });
        // total += s · sum; the next group's sums from 0.
        f.for(pair, block, end, c(1), () => {
          f.set(at, i32.add(sum, i32.mul(i32.sub(pair, block), c(PAIR_SUMS))));
          f.set(partial, i32.add(at, c(SUMS)));
          f.set(n, i32.add(i32.mul(g, i32.shl(p.words, c(3))), i32.shl(pair, c(4))));
          loadScales(f, i32.add(p.scales, i32.shl(n, c(1))), scale, temp);
          for (const [i, s] of scale.entries()) {
            f.do(v128.store(partial, f64x2.add(v128.load(partial, 16 * i), f64x2.mul(s, v128.load(at, 16 * i))), 16 * i));
            f.do(v128.store(at, zero, 16 * i));
          }
        });
      });
      // out[16p + 8j + c] from vector i, lane j.
      f.set(at, i32.add(sum, c(SUMS)));
      f.for(pair, block, end, c(1), () => {
        for (const j of [0, 1])
          f.if(i32.lt_u(i32.add(i32.shl(pair, c(1)), c(j)), p.words), () =>
            columnOfNibble.forEach((column, i) => {
              f.set(n, i32.shl(i32.add(i32.shl(pair, c(4)), c(8 * j + column)), c(2)));
              f.set(y, f64.load(at, 16 * i + 8 * j));
              f.if(p.bias, () => f.set(y, f64.add(y, f64.promote_f32(f32.load(i32.add(p.bias, n))))));
              f.do(f32.store(i32.add(p.out, n), f32.demote_f64(y)));
            }),
          );
        f.set(at, i32.add(at, c(PAIR_SUMS)));
      });
    });
  },
);

/**
 * out[t, n] = Σ_g s[g, n] · Σ_{k in g} x[t, k] · (q[k, n] − z[g, n]) + bias[n] for T rows at once; twin of core/ops/awq-matmul.ts, bit for
 * bit. x by fours of rows [T/4, K, 4] f64 (tile-product.ts), the weight as in awq-matmul.ts, out [T, N] f32.
 * A unit of work is a pair of words, 16 columns. Sixteen pairs go through a group together, their words of at most 128 rows copied side by
 * side as in awq-matmul.ts; each pair's q − z (times 16^i, awq.ts) are unpacked once, for all T.
 * Scratch: those words, a tile, then for each pair the group's sums and all groups' [T, 16] f64.
 */
import { columnOfNibble } from "../../core/quant/awq-format.ts";
import { f32, f64, f64x2, i32, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { copyChunk, LINE, loadPair, loadScales, masked, nibbleMask, PAIRS } from "./awq.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { FOUR_BYTES, TILE_BYTES, TILE_ROWS } from "./tile-product.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Bytes of scratch for T rows. */
export const awqMatmulRowsScratch = (T: number): number => TILE_ROWS * (LINE + TILE_BYTES) + 2 * PAIRS * TILE_BYTES * T;

export const awqMatmulRows: Kernel = kernel(
  "awq-matmul-rows",
  ["scratch", "from", "to", "x", "qweight", "qzeros", "scales", "bias", "out", "K", "words", "groupSize", "T"],
  (f, p, { kernel }) => {
    const [block, end, pair, g, groups, k, rows, rowBytes] = f.locals("i32", 8) as [L, L, L, L, L, L, L, L];
    const [from, to, toEnd, tile, sums, sumsEnd, pairBytes, at, n, row, first, output] = f.locals("i32", 12) as [
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
    const [masks, zeros] = [f.locals("v128", 4), f.locals("v128", 4)];
    const scale = f.locals("v128", 8);
    const [word, ...temp] = f.locals("v128", 7) as [V, ...V[]];
    const y = f.local("f64");
    const c = i32.const;
    f.set(rowBytes, i32.shl(p.words, c(2)));
    f.set(groups, i32.div_u(p.K, p.groupSize));
    f.set(tile, i32.add(p.scratch, c(TILE_ROWS * LINE)));
    f.set(pairBytes, i32.mul(p.T, c(2 * TILE_BYTES)));
    f.set(first, i32.add(tile, c(TILE_ROWS * TILE_BYTES)));
    /** Where the sums of a pair begin and end; those of all groups follow. */
    const sumsOf = (): void => {
      f.set(sums, i32.add(first, i32.mul(i32.sub(pair, block), pairBytes)));
      f.set(sumsEnd, i32.add(sums, i32.shr_u(pairBytes, c(1))));
    };
    f.for(block, p.from, p.to, c(PAIRS), () => {
      f.set(end, i32.add(block, c(PAIRS)));
      f.if(i32.gt_u(end, p.to), () => f.set(end, p.to));
      f.for(at, first, i32.add(first, i32.mul(i32.sub(end, block), pairBytes)), c(16), () => f.do(v128.store(at, zero)));
      f.for(g, c(0), groups, c(1), () => {
        f.for(k, c(0), p.groupSize, c(TILE_ROWS), () => {
          copyChunk(f, p, { g, k, rows, row, from, to, toEnd, rowBytes }, TILE_ROWS, i32.shl(block, c(3)));
          f.for(pair, block, end, c(1), () => {
            sumsOf();
            // tile[k, 2i + lane] = (q − z) · 16^i, four nibbles at a time as in awq-matmul.ts.
            for (const half of [0, 4]) {
              f.set(word, loadPair(i32.add(p.qzeros, i32.add(i32.mul(g, rowBytes), i32.shl(pair, c(3))))));
              for (const [i, mask] of masks.entries()) f.set(mask, nibbleMask(half + i));
              for (const [i, z] of zeros.entries()) f.set(z, masked(word, masks[i]!));
              f.set(from, i32.add(p.scratch, i32.shl(i32.sub(pair, block), c(3))));
              f.for(to, tile, i32.add(tile, i32.mul(rows, c(TILE_BYTES))), c(TILE_BYTES), () => {
                f.set(word, loadPair(from));
                for (const [i, z] of zeros.entries()) f.do(v128.store(to, f64x2.sub(masked(word, masks[i]!), z), 16 * (half + i)));
                f.set(from, i32.add(from, c(LINE)));
              });
            }
            const x = i32.add(p.x, i32.mul(row, c(FOUR_BYTES)));
            f.call(kernel("tile-product"), sums, tile, x, rows, p.T, i32.mul(p.K, c(FOUR_BYTES)));
          });
        });
        // total += s · sum; the next group's sums from 0.
        f.for(pair, block, end, c(1), () => {
          sumsOf();
          f.set(n, i32.add(i32.mul(g, i32.shl(p.words, c(3))), i32.shl(pair, c(4))));
          loadScales(f, i32.add(p.scales, i32.shl(n, c(1))), scale, temp);
          f.for(at, sums, sumsEnd, c(TILE_BYTES), () => {
            f.set(to, i32.add(at, i32.shr_u(pairBytes, c(1))));
            for (const [i, s] of scale.entries()) {
              f.do(v128.store(to, f64x2.add(v128.load(to, 16 * i), f64x2.mul(s, v128.load(at, 16 * i))), 16 * i));
              f.do(v128.store(at, zero, 16 * i));
            }
          });
        });
      });
      // out[t, 16p + 8j + c] from vector i, lane j.
      f.for(pair, block, end, c(1), () => {
        sumsOf();
        f.set(output, p.out);
        f.for(at, sumsEnd, i32.add(sums, pairBytes), c(TILE_BYTES), () => {
          for (const j of [0, 1])
            f.if(i32.lt_u(i32.add(i32.shl(pair, c(1)), c(j)), p.words), () => {
              for (const [i, column] of columnOfNibble.entries()) {
                f.set(n, i32.shl(i32.add(i32.shl(pair, c(4)), c(8 * j + column)), c(2)));
                f.set(y, f64.load(at, 16 * i + 8 * j));
                f.if(p.bias, () => f.set(y, f64.add(y, f64.promote_f32(f32.load(i32.add(p.bias, n))))));
                f.do(f32.store(i32.add(output, n), f32.demote_f64(y)));
              }
            });
          f.set(output, i32.add(output, i32.shl(p.words, c(5))));
        });
      });
    });
  },
);

/**
 * out[n] = Σ_b (Σ_{k in b} v[k] · (q[k, n] − z[g, n])) · (2^e_b · s[g, n]) + bias[n], one row in `fixed16`; twin of
 * core/ops/awq-matmul-fixed16.ts, bit for bit: sums of blocks of 32 are integers, joins are the same f32 operations in the same order.
 * values v [K] i16, steps 2^e [K/32] f32, at most 2^87 or NaN, sums Σ v [K/32] i32, the weight as in awq-matmul.ts, groups of whole blocks.
 * A unit of work is four words, 32 columns (awq-units.ts). Rows k, k + 1 of four words hold, once their halves are regrouped, all even columns in one
 * vector and all odd ones in another, v[k] and v[k + 1] side by side as `i32x4.dot_i16x8_s` wants them; a nibble costs one mask (or shift) for eight.
 * The zero point is folded out, Σ v (q − z) = Σ v q − z Σ v; everything stays below 2^31.
 * Sixteen units share cache lines and go through a block together. Scratch: words [32 rows, 16 units, 4], then for each unit scales f32, zero
 * points i32 and results f32 [8 vectors, 4].
 */
import { columnOfNibble } from "../../core/quant/awq-format.ts";
import { f32, f32x4, i32, i32x4, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { copyWords } from "./awq.ts";
import { lowNibbles, nibblesOf, pairRows, secondNibbles, UNIT_COLUMNS, unitScales, unitZeros } from "./awq-units.ts";
import { halvesToSingles, zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Units that go through a block together, and bytes of one row of theirs. */
export const UNITS = 16;
const LINE = 16 * UNITS;
const BLOCK = 32;
/** Bytes of eight vectors; a unit's scales, zero points and results follow one another. */
const VECTORS = 128;
const UNIT = 3 * VECTORS;

export const awqMatmulFixed16Scratch: number = BLOCK * LINE + UNITS * UNIT;

export const awqMatmulFixed16: Kernel = kernel(
  "awq-matmul-fixed16",
  ["scratch", "from", "to", "values", "steps", "sums", "qweight", "qzeros", "scales", "bias", "out", "K", "words", "groupSize"],
  (f, p) => {
    const [first, end, unit, b, blocks, perGroup, rowBytes, from, to, toEnd, at, x] = f.locals("i32", 12) as [
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
    const [g, n, word, units, address] = f.locals("i32", 5) as [L, L, L, L, L];
    const acc = f.locals("v128", 4);
    const [pairs, a, c, xk, step, blockSum, sum] = f.locals("v128", 7) as [V, V, V, V, V, V, V];
    const [mask, mask4] = f.locals("v128", 2) as [V, V];
    const k = i32.const;
    f.set(mask, lowNibbles);
    f.set(mask4, secondNibbles);
    f.set(rowBytes, i32.shl(p.words, k(2)));
    f.set(blocks, i32.div_u(p.K, k(BLOCK)));
    f.set(perGroup, i32.div_u(p.groupSize, k(BLOCK)));
    f.set(units, i32.add(p.scratch, k(BLOCK * LINE)));
    f.for(first, p.from, p.to, k(UNITS), () => {
      f.set(end, i32.add(first, k(UNITS)));
      f.if(i32.gt_u(end, p.to), () => f.set(end, p.to));
      // Results from 0.
      f.set(at, units);
      f.for(unit, first, end, k(1), () => {
        for (let i = 0; i < 8; i++) f.do(v128.store(at, zero, 2 * VECTORS + 16 * i));
        f.set(at, i32.add(at, k(UNIT)));
      });
      f.for(b, k(0), blocks, k(1), () => {
        f.set(g, i32.div_u(b, perGroup));
        // A new group: its scales and zero points, vector by vector.
        f.if(i32.eq(i32.mul(g, perGroup), b), () => {
          f.set(at, units);
          f.for(unit, first, end, k(1), () => {
            f.set(address, i32.add(p.scales, i32.shl(i32.add(i32.mul(g, i32.shl(p.words, k(3))), i32.mul(unit, k(UNIT_COLUMNS))), k(1))));
            unitScales(f, address, [a, c, sum], (quad, vector) => f.do(v128.store(at, halvesToSingles(quad), 16 * vector)));
            unitZeros(f, a, i32.add(p.qzeros, i32.add(i32.mul(g, rowBytes), i32.shl(unit, k(4)))), at, VECTORS);
            f.set(at, i32.add(at, k(UNIT)));
          });
        });
        // The words of the block's rows, side by side.
        f.set(from, i32.add(p.qweight, i32.add(i32.mul(i32.mul(b, k(BLOCK)), rowBytes), i32.shl(first, k(4)))));
        copyWords(f, p.scratch, from, k(BLOCK * LINE), LINE, rowBytes, to, toEnd);
        f.set(step, v128.load32_splat(i32.add(p.steps, i32.shl(b, k(2)))));
        f.set(blockSum, v128.load32_splat(i32.add(p.sums, i32.shl(b, k(2)))));
        f.set(at, units);
        f.for(unit, first, end, k(1), () => {
          // Even columns lie in the lower halves of words, odd ones in the upper; one after the other, so that nothing lies on the stack.
          for (const parity of [0, 1]) {
            for (const vector of acc) f.set(vector, zero);
            f.set(x, i32.add(p.values, i32.mul(b, k(2 * BLOCK))));
            f.set(from, i32.add(p.scratch, i32.shl(i32.sub(unit, first), k(4))));
            f.for(to, from, i32.add(from, k(BLOCK * LINE)), k(2 * LINE), () => {
              f.set(a, v128.load(to));
              f.set(c, v128.load(to, LINE));
              f.set(xk, v128.load32_splat(x));
              f.set(pairs, pairRows(a, c, parity));
              for (const [i, q] of nibblesOf(pairs, mask, mask4).entries()) f.set(acc[i]!, i32x4.add(acc[i]!, i32x4.dot_i16x8_s(q, xk)));
              f.set(x, i32.add(x, k(4)));
            });
            // y += (Σ v q − z Σ v) · (2^e · s)
            for (const [i, vector] of acc.entries()) {
              const offset = 16 * (4 * parity + i);
              f.set(sum, i32x4.sub(i === 1 ? i32x4.shr_s(vector, 4) : vector, i32x4.mul(v128.load(at, VECTORS + offset), blockSum)));
              const scaled = f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(step, v128.load(at, offset)));
              f.do(v128.store(at, f32x4.add(v128.load(at, 2 * VECTORS + offset), scaled), 2 * VECTORS + offset));
            }
          }
          f.set(at, i32.add(at, k(UNIT)));
        });
      });
      // out[32u + 8j + c] from vector i, lane j.
      f.set(at, units);
      f.for(unit, first, end, k(1), () => {
        for (let j = 0; j < 4; j++) {
          f.set(word, i32.add(i32.shl(unit, k(2)), k(j)));
          f.if(i32.lt_u(word, p.words), () => {
            for (const [i, column] of columnOfNibble.entries()) {
              f.set(n, i32.shl(i32.add(i32.shl(word, k(3)), k(column)), k(2)));
              const y = f32.load(at, 2 * VECTORS + 16 * i + 4 * j);
              f.if(
                p.bias,
                () => f.do(f32.store(i32.add(p.out, n), f32.add(y, f32.load(i32.add(p.bias, n))))),
                () => f.do(f32.store(i32.add(p.out, n), y)),
              );
            }
          });
        }
        f.set(at, i32.add(at, k(UNIT)));
      });
    });
  },
);

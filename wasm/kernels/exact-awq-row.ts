/**
 * out[n] = rn(Σ_g S_gn Σ_{k in g} v_k (q_kn − z_gn), e − 24) + bias[n] of `exact`, one row; twin of core/exact/linear.ts, bit for bit.
 * `digits` [K/2, 4] i16: h_k, h_k+1, l_k, l_k+1 (exact-awq.ts), `sums` [chunks, 2] i32: Σ h and Σ l of each 128 rows (or what is left of a
 * group), the weight as in awq-matmul.ts with groups of an even number of rows, `powers` the address of 2^e, f64.
 * Per chunk a unit's words go once through each parity with eight sums in registers, four of h and four of l.
 * Scratch: words [128 rows, 8 units, 4], scales and zero points of 8 units, their totals.
 */
import { f64, i32, i32x4, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { copyChunk, LINE } from "./awq.ts";
import { lowNibbles, nibblesOf, pairRows, secondNibbles } from "./awq-units.ts";
import { addScaled, CHUNK, LOW, loadGroups, output, PAIR, SCALES, TOTALS, UNIT, UNITS, writeUnit } from "./exact-awq.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

export const exactAwqRowScratch: number = CHUNK * LINE + UNITS * (UNIT + TOTALS);

export const exactAwqRow: Kernel = kernel(
  "exact-awq-row",
  ["scratch", "from", "to", "digits", "sums", "qweight", "qzeros", "scales", "bias", "out", "K", "words", "groupSize", "powers"],
  (f, p, { madd }) => {
    const [first, end, unit, g, groups, k, rows, row, rowBytes] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [from, to, toEnd, units, at, totals, x, sum, address] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const acc = f.locals("v128", 8);
    const [a, c, pairs, high, low, z, mask, mask4] = f.locals("v128", 8) as [V, V, V, V, V, V, V, V];
    const power = f.local("f64");
    const out = output(f);
    const n = i32.const;
    f.set(mask, lowNibbles);
    f.set(mask4, secondNibbles);
    f.set(power, f64.load(p.powers));
    f.set(rowBytes, i32.shl(p.words, n(2)));
    f.set(groups, i32.div_u(p.K, p.groupSize));
    f.set(units, i32.add(p.scratch, n(CHUNK * LINE)));
    f.for(first, p.from, p.to, n(UNITS), () => {
      f.set(end, i32.add(first, n(UNITS)));
      f.if(i32.gt_u(end, p.to), () => f.set(end, p.to));
      f.set(totals, i32.add(units, n(UNITS * UNIT)));
      f.for(at, totals, i32.add(totals, n(UNITS * TOTALS)), n(16), () => f.do(v128.store(at, zero)));
      f.set(sum, p.sums);
      f.for(g, n(0), groups, n(1), () => {
        loadGroups(f, p, { g, first, end, unit, units, at, address, rowBytes }, [a, c, pairs, z]);
        f.for(k, n(0), p.groupSize, n(CHUNK), () => {
          copyChunk(f, p, { g, k, rows, row, from, to, toEnd, rowBytes }, CHUNK, i32.shl(first, n(4)));
          f.set(at, units);
          f.set(totals, i32.add(units, n(UNITS * UNIT)));
          f.for(unit, first, end, n(1), () => {
            // Even columns lie in the lower halves of words, odd ones in the upper; one after the other, so that nothing lies on the stack.
            for (const parity of [0, 1]) {
              for (const vector of acc) f.set(vector, zero);
              f.set(x, i32.add(p.digits, i32.mul(row, n(PAIR / 2))));
              f.for(to, i32.add(p.scratch, i32.shl(i32.sub(unit, first), n(4))), toEnd, n(2 * LINE), () => {
                f.set(a, v128.load(to));
                f.set(c, v128.load(to, LINE));
                f.set(pairs, pairRows(a, c, parity));
                f.set(high, v128.load32_splat(x));
                f.set(low, v128.load32_splat(x, 4));
                for (const [i, q] of nibblesOf(pairs, mask, mask4).entries()) {
                  f.set(a, q);
                  f.set(acc[i]!, i32x4.add(acc[i]!, i32x4.dot_i16x8_s(a, high)));
                  f.set(acc[4 + i]!, i32x4.add(acc[4 + i]!, i32x4.dot_i16x8_s(a, low)));
                }
                f.set(x, i32.add(x, n(PAIR)));
              });
              // total += s · (Σ h q − z Σ h), and the same of l.
              for (const [i, vector] of acc.entries()) {
                const nibble = 4 * parity + (i & 3);
                f.set(z, v128.load32_splat(sum, i < 4 ? 0 : 4));
                const zeros = i32x4.mul(v128.load(at, SCALES + 16 * nibble), z);
                f.set(vector, i32x4.sub((i & 3) === 1 ? i32x4.shr_s(vector, 4) : vector, zeros));
                addScaled(f, madd, vector, totals, (i < 4 ? 0 : LOW) + 32 * nibble, at, 32 * nibble);
              }
            }
            f.set(at, i32.add(at, n(UNIT)));
            f.set(totals, i32.add(totals, n(TOTALS)));
          });
          f.set(sum, i32.add(sum, n(8)));
        });
      });
      f.set(totals, i32.add(units, n(UNITS * UNIT)));
      f.for(unit, first, end, n(1), () => {
        f.set(at, totals);
        writeUnit(f, out, at, unit, power, p);
        f.set(totals, i32.add(totals, n(TOTALS)));
      });
    });
  },
);

/**
 * out[t, n] = rn(Σ_g S_gn Σ_{k in g} v_tk (q_kn − z_gn), e_t − 24) + bias[n] of `exact` for T rows, an even number; twin of core/exact/linear.ts,
 * bit for bit. `digits` [T, K/2, 4] i16 as in exact-awq-row.ts, `powers` the address of 2^e_t [T] f64. Of out [T, N] the first `stored` rows are written.
 * A unit's q − z of 128 rows are unpacked once, two rows of weights side by side; two rows of x by eight columns at a time are eight sums in registers.
 * Scratch: words [128 rows, 8 units, 4], a tile [64, 8 vectors], scales and zero points of 8 units, totals [8 units, T].
 */
import { f64, i16x8, i32, i32x4, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { copyChunk, LINE } from "./awq.ts";
import { lowNibbles, pairRows } from "./awq-units.ts";
import { addScaled, CHUNK, LOW, loadGroups, output, PAIR, SCALES, TOTALS, UNIT, UNITS, writeUnit } from "./exact-awq.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Bytes of a tile's pair of rows: eight vectors. */
const TILE_LINE = 128;
const TILE_BYTES = (CHUNK / 2) * TILE_LINE;

/** Bytes of scratch for T rows, T even. */
export const exactAwqRowsScratch = (T: number): number => CHUNK * LINE + TILE_BYTES + UNITS * (UNIT + T * TOTALS);

export const exactAwqRows: Kernel = kernel(
  "exact-awq-rows",
  ["scratch", "from", "to", "digits", "qweight", "qzeros", "scales", "bias", "out", "K", "words", "groupSize", "powers", "T", "stored"],
  (f, p, { madd }) => {
    const [first, end, unit, g, groups, k, rows, row, rowBytes] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [from, to, toEnd, tile, tileEnd, units, at, firstTotals, totals] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [x, y, t, address, xBytes, unitTotals, line] = f.locals("i32", 7) as [L, L, L, L, L, L, L];
    const acc = f.locals("v128", 8);
    const [a, c, pairs, z, mask, q0, q1] = f.locals("v128", 7) as [V, V, V, V, V, V, V];
    const power = f.local("f64");
    const out = output(f);
    const n = i32.const;
    f.set(mask, lowNibbles);
    f.set(rowBytes, i32.shl(p.words, n(2)));
    f.set(xBytes, i32.mul(p.K, n(PAIR / 2)));
    f.set(groups, i32.div_u(p.K, p.groupSize));
    f.set(tile, i32.add(p.scratch, n(CHUNK * LINE)));
    f.set(units, i32.add(tile, n(TILE_BYTES)));
    f.set(firstTotals, i32.add(units, n(UNITS * UNIT)));
    f.set(unitTotals, i32.mul(p.T, n(TOTALS)));
    f.for(first, p.from, p.to, n(UNITS), () => {
      f.set(end, i32.add(first, n(UNITS)));
      f.if(i32.gt_u(end, p.to), () => f.set(end, p.to));
      f.for(at, firstTotals, i32.add(firstTotals, i32.mul(unitTotals, n(UNITS))), n(16), () => f.do(v128.store(at, zero)));
      f.for(g, n(0), groups, n(1), () => {
        loadGroups(f, p, { g, first, end, unit, units, at, address, rowBytes }, [a, c, pairs, z]);
        f.for(k, n(0), p.groupSize, n(CHUNK), () => {
          copyChunk(f, p, { g, k, rows, row, from, to, toEnd, rowBytes }, CHUNK, i32.shl(first, n(4)));
          f.set(tileEnd, i32.add(tile, i32.mul(rows, n(TILE_LINE / 2))));
          f.set(at, units);
          f.set(totals, firstTotals);
          f.for(unit, first, end, n(1), () => {
            // tile[k / 2, i] = q − z of vector i, rows k and k + 1, i16.
            f.set(from, i32.add(p.scratch, i32.shl(i32.sub(unit, first), n(4))));
            for (let i = 0; i < 8; i++) {
              f.set(acc[i]!, v128.load(at, SCALES + 16 * i));
              f.set(acc[i]!, v128.or(acc[i]!, i32x4.shl(acc[i]!, 16)));
            }
            f.for(to, tile, tileEnd, n(TILE_LINE), () => {
              f.set(a, v128.load(from));
              f.set(c, v128.load(from, LINE));
              for (const parity of [0, 1]) {
                f.set(pairs, pairRows(a, c, parity));
                for (let i = 0; i < 4; i++) {
                  const q = i === 0 ? pairs : i16x8.shr_u(pairs, 4 * i);
                  f.do(v128.store(to, i16x8.sub(i === 3 ? q : v128.and(q, mask), acc[4 * parity + i]!), 16 * (4 * parity + i)));
                }
              }
              f.set(from, i32.add(from, n(2 * LINE)));
            });
            f.for(t, n(0), p.T, n(2), () => {
              for (let i = 0; i < 8; i += 2) {
                for (const vector of acc) f.set(vector, zero);
                f.set(x, i32.add(p.digits, i32.add(i32.mul(t, xBytes), i32.mul(row, n(PAIR / 2)))));
                f.set(y, i32.add(x, xBytes));
                f.for(line, tile, tileEnd, n(TILE_LINE), () => {
                  f.set(q0, v128.load(line, 16 * i));
                  f.set(q1, v128.load(line, 16 * i + 16));
                  for (const [r, digits] of [x, y].entries())
                    for (const half of [0, 1]) {
                      f.set(z, v128.load32_splat(digits, 4 * half));
                      const at = 4 * r + 2 * half;
                      f.set(acc[at]!, i32x4.add(acc[at]!, i32x4.dot_i16x8_s(q0, z)));
                      f.set(acc[at + 1]!, i32x4.add(acc[at + 1]!, i32x4.dot_i16x8_s(q1, z)));
                    }
                  f.set(x, i32.add(x, n(PAIR)));
                  f.set(y, i32.add(y, n(PAIR)));
                });
                for (const [j, vector] of acc.entries()) {
                  const [r, half, second] = [j >> 2, (j >> 1) & 1, j & 1];
                  addScaled(f, madd, vector, totals, r * TOTALS + half * LOW + 32 * (i + second), at, 32 * (i + second));
                }
              }
              f.set(totals, i32.add(totals, n(2 * TOTALS)));
            });
            f.set(at, i32.add(at, n(UNIT)));
          });
        });
      });
      f.set(totals, firstTotals);
      f.for(unit, first, end, n(1), () => {
        f.set(at, totals);
        f.set(address, p.out);
        f.for(t, n(0), p.stored, n(1), () => {
          f.set(power, f64.load(i32.add(p.powers, i32.shl(t, n(3)))));
          f.set(x, at);
          writeUnit(f, out, x, unit, power, { out: address, bias: p.bias, words: p.words });
          f.set(at, i32.add(at, n(TOTALS)));
          f.set(address, i32.add(address, i32.shl(p.words, n(5))));
        });
        f.set(totals, i32.add(totals, unitTotals));
      });
    });
  },
);

/**
 * Attention of `exact` over a cache of fixed rows; twin of core/exact/attention.ts, bit for bit: exact integer scores, the largest first, weights
 * as integers of 2^−46, one mix of integers.
 * q̂ [T, H, Hd] integers of 24 bits as f32 and their exponents [T, H] i32, k, v [S, G, Hd] integers as f32 and their exponents [S, G] i16, out
 * [T, H, Hd] f32; `perGroup` heads share a group's keys; `window` 0: none. Hd at most 128 and S at most 2^15, so that f64 adds every sum exactly.
 * A unit of work is a position and a group, t · G + g: its heads are the rows of a tile product, first with 16 keys, then, weights in an upper
 * and a lower half of 16 bits, with 16 elements of the values. Scratch: a tile, sums [2 perGroup, 16], q̂ [perGroup/4, Hd, 4], of each head
 * 1/Z and the power of two of its weights, scores [perGroup, S + 16], weights [perGroup/2, S, 4], all f64.
 */
import { f32, f64, i32, i64, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { loadQueries, locateKeys } from "./attention.ts";
import { distance, powerOf, reciprocal, rowExponent32, setDistance } from "./exact-functions.ts";
import { nearest, oddSum, sumToOdd } from "./exact-round.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { FOUR, FOUR_BYTES, inFours, TILE, TILE_BYTES, TILE_ROWS, widenTile } from "./tile-product.ts";

type L = Local<"i32">;

/** The largest head and the most keys that the kernel takes. */
export const EXACT_HEAD: number = TILE_ROWS;
export const EXACT_KEYS: number = 2 ** 15;

/** Bytes of scratch for up to S keys. */
export function exactAttentionScratch(S: number, perGroup: number, Hd: number): number {
  const [fours, halves] = [Math.ceil(perGroup / FOUR), Math.ceil((2 * perGroup) / FOUR)];
  return TILE_BYTES * (TILE_ROWS + 2 * perGroup) + FOUR_BYTES * (fours * Hd + halves * S) + 16 * perGroup + 8 * perGroup * (S + TILE);
}

/** Added and taken away again, it leaves the nearest integer. */
const TO_INTEGER = 1.5 * 2 ** 52;

export const exactAttention: Kernel = kernel(
  "exact-attention",
  ["scratch", "from", "to", "q", "qExponents", "k", "v", "kExponents", "vExponents", "out", "start", "G", "perGroup", "Hd", "window"],
  (f, p, { kernel }) => {
    const [unit, t, g, first, count, h, i, s, rows, columns, at, from] = f.locals("i32", 12) as [L, L, L, L, L, L, L, L, L, L, L, L];
    const [acc, accEnd, lower, query, queryFour, heads, scores, scoreRow, weights, weightFour] = f.locals("i32", 10) as [
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
    const [rowBytes, kv, head, to, exponent, exponents, integer, low, exponentsRow] = f.locals("i32", 9) as [L, L, L, L, L, L, L, L, L];
    const [x, y, most, largest] = f.locals("f64", 4) as [Local<"f64">, Local<"f64">, Local<"f64">, Local<"f64">];
    const single = f.local("f32");
    const [weight, sum] = f.locals("i64", 2) as [Local<"i64">, Local<"i64">];
    const four = f.local("v128");
    const d = distance(f);
    const odd = oddSum(f);
    const c = i32.const;
    const foursOf = (count: Value<"i32">): Value<"i32"> => i32.shr_u(i32.add(count, c(FOUR - 1)), c(2));
    f.set(acc, i32.add(p.scratch, c(TILE_ROWS * TILE_BYTES)));
    f.set(lower, i32.mul(p.perGroup, c(TILE_BYTES)));
    f.set(query, i32.add(acc, i32.shl(lower, c(1))));
    f.set(queryFour, i32.mul(p.Hd, c(FOUR_BYTES)));
    f.set(heads, i32.add(query, i32.mul(foursOf(p.perGroup), queryFour)));
    f.set(scores, i32.add(heads, i32.shl(p.perGroup, c(4))));
    f.set(rowBytes, i32.shl(i32.mul(p.G, p.Hd), c(2)));
    f.set(exponentsRow, i32.shl(p.G, c(1)));
    f.for(unit, p.from, p.to, c(1), () => {
      locateKeys(f, p, { unit, t, g, first, count });
      f.set(scoreRow, i32.shl(i32.add(count, c(TILE)), c(3)));
      f.set(weights, i32.add(scores, i32.mul(p.perGroup, scoreRow)));
      f.set(weightFour, i32.mul(count, c(FOUR_BYTES)));
      f.set(kv, i32.add(i32.mul(first, rowBytes), i32.shl(i32.mul(g, p.Hd), c(2))));
      f.set(exponents, i32.shl(i32.add(i32.mul(first, p.G), g), c(1)));
      f.set(head, i32.shl(i32.mul(i32.mul(unit, p.perGroup), p.Hd), c(2)));

      loadQueries(f, p, { head, from, h, i, query, queryFour });

      // scores[h, s] = rn(q̂[h] · k̂[s], e_q + e_s), 16 keys at a time.
      f.set(accEnd, i32.add(acc, lower));
      f.for(s, c(0), count, c(TILE), () => {
        f.set(rows, i32.sub(count, s));
        f.if(i32.gt_u(rows, c(TILE)), () => f.set(rows, c(TILE)));
        f.for(at, acc, accEnd, c(16), () => f.do(v128.store(at, zero)));
        f.set(from, i32.add(i32.add(p.k, kv), i32.mul(s, rowBytes)));
        f.call(kernel("expand-f32"), p.scratch, from, rowBytes, rows, p.Hd);
        f.call(kernel("tile-product"), acc, p.scratch, query, p.Hd, p.perGroup, queryFour);
        f.set(to, i32.add(scores, i32.shl(s, c(3))));
        f.set(h, i32.add(p.qExponents, i32.shl(i32.mul(unit, p.perGroup), c(2))));
        f.for(at, acc, accEnd, c(TILE_BYTES), () => {
          f.set(from, i32.add(i32.add(p.kExponents, exponents), i32.mul(s, exponentsRow)));
          f.for(i, c(0), i32.shl(rows, c(3)), c(8), () => {
            f.set(x, f64.mul(f64.load(i32.add(at, i)), powerOf(i32.add(i32.load(h), i32.load16_s(from)))));
            f.do(f64.store(i32.add(to, i), f64.promote_f32(nearest(x))));
            f.set(from, i32.add(from, exponentsRow));
          });
          f.set(h, i32.add(h, c(4)));
          f.set(to, i32.add(to, scoreRow));
        });
      });

      f.for(h, c(0), p.perGroup, c(1), () => {
        f.set(from, i32.add(scores, i32.mul(h, scoreRow)));
        f.set(to, i32.add(from, i32.shl(count, c(3))));
        f.set(most, f64.const(-Infinity));
        f.for(at, from, to, c(8), () => f.set(most, f64.max(most, f64.load(at))));
        // w_s of 2^(t_s − max), their sum Z; and, times the power of two of the value's row, p_s, what the values are mixed with.
        f.set(sum, i64.const(0n));
        f.set(largest, f64.const(0));
        f.set(low, i32.add(p.vExponents, exponents));
        f.for(at, from, to, c(8), () => {
          f.set(x, f64.sub(most, f64.load(at)));
          f.set(x, f64.promote_f32(nearest(x)));
          setDistance(f, d, x);
          f.set(weight, i64.shr_u(i64.shl(d.power, i64.const(16n)), d.whole));
          f.set(sum, i64.add(sum, weight));
          f.set(x, f64.const(0));
          f.if(i32.eqz(i64.eqz(weight)), () => {
            f.set(y, f64.mul(f64.convert_i64_u(d.power), powerOf(i32.sub(i32.sub(i32.load16_s(low), c(30)), i32.wrap_i64(d.whole)))));
            f.set(x, f64.promote_f32(nearest(y)));
          });
          f.set(largest, f64.max(largest, x));
          f.do(f64.store(at, x));
          f.set(low, i32.add(low, exponentsRow));
        });
        // 1 / Z, Z = rn(Σ w, −46).
        f.set(single, f32.mul(f32.convert_i64_u(sum), f32.const(2 ** -46)));
        f.set(x, reciprocal(single));
        f.do(f64.store(i32.add(heads, i32.shl(h, c(4))), f64.promote_f32(nearest(x))));
        // p as a fixed row of 32 bits, in halves.
        rowExponent32(f, exponent, f32.demote_f64(largest));
        f.do(f64.store(i32.add(heads, i32.shl(h, c(4))), powerOf(exponent), 8));
        f.set(y, powerOf(i32.sub(c(0), exponent)));
        f.for(s, c(0), count, c(1), () => {
          const nearestInteger = f64.sub(f64.add(f64.mul(f64.load(from), y), f64.const(TO_INTEGER)), f64.const(TO_INTEGER));
          f.set(integer, i32.trunc_f64_s(nearestInteger));
          f.set(low, i32.shr_s(i32.shl(integer, c(16)), c(16)));
          f.do(f64.store(inFours(weights, weightFour, h, s), f64.convert_i32_s(i32.sub(integer, low))));
          f.do(f64.store(inFours(weights, weightFour, i32.add(h, p.perGroup), s), f64.convert_i32_s(low)));
          f.set(from, i32.add(from, c(8)));
        });
      });

      // out[h, i] = mul(rn(Σ_s p̂[h, s] · v̂[s, i], e), 1 / Z), 16 elements at a time.
      f.set(accEnd, i32.add(acc, i32.shl(lower, c(1))));
      f.for(i, c(0), p.Hd, c(TILE), () => {
        f.set(columns, i32.sub(p.Hd, i));
        f.if(i32.gt_u(columns, c(TILE)), () => f.set(columns, c(TILE)));
        f.for(at, acc, accEnd, c(16), () => f.do(v128.store(at, zero)));
        f.for(s, c(0), count, c(TILE_ROWS), () => {
          f.set(rows, i32.sub(count, s));
          f.if(i32.gt_u(rows, c(TILE_ROWS)), () => f.set(rows, c(TILE_ROWS)));
          f.set(from, i32.add(i32.add(i32.add(p.v, kv), i32.mul(s, rowBytes)), i32.shl(i, c(2))));
          widenTile(f, p.scratch, { from, rows, rowBytes, at }, four);
          const x = i32.add(weights, i32.mul(s, c(FOUR_BYTES)));
          f.call(kernel("tile-product"), acc, p.scratch, x, rows, i32.shl(p.perGroup, c(1)), weightFour);
        });
        f.set(to, i32.add(i32.add(p.out, head), i32.shl(i, c(2))));
        f.set(low, heads);
        f.for(at, acc, i32.add(acc, lower), c(TILE_BYTES), () => {
          f.for(h, c(0), columns, c(1), () => {
            f.set(x, f64.load(i32.add(at, i32.shl(h, c(3)))));
            f.set(y, f64.load(i32.add(i32.add(at, lower), i32.shl(h, c(3)))));
            sumToOdd(f, odd, x, y);
            f.set(x, f64.mul(odd.sum, f64.load(low, 8)));
            f.set(x, f64.mul(f64.promote_f32(nearest(x)), f64.load(low)));
            f.do(f32.store(i32.add(to, i32.shl(h, c(2))), nearest(x)));
          });
          f.set(low, i32.add(low, c(16)));
          f.set(to, i32.add(to, i32.shl(p.Hd, c(2))));
        });
      });
    });
  },
);

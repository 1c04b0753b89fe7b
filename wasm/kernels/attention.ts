/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g, :] over the keys that position start + t sees; twin of
 * core/ops/attention.ts, bit for bit: sums in f64 in the same order, each weight rounded to f32 before it meets its value.
 * q, out [T, H, Hd], k, v [S, G, Hd], all f32; `perGroup` heads share a group's keys; `window` 0: none; `scale` the address of 1 / √Hd, f64.
 * A unit of work is a position and a group, t · G + g: its heads are the rows of a tile product, first with 16 keys, then with 16 elements of
 * the values. Scratch: a tile, sums [perGroup, 16], q [perGroup/4, Hd, 4], scores [perGroup, S + 16], weights [perGroup/4, S, 4], all f64.
 */
import { type Body, callValue } from "../assembler/function.ts";
import { f32, f64, f64x2, i32, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { FOUR, FOUR_BYTES, inFours, TILE, TILE_BYTES, TILE_ROWS, widenTile } from "./tile-product.ts";

type L = Local<"i32">;

/** Bytes of scratch for up to S keys. */
export function attentionScratch(S: number, perGroup: number, Hd: number): number {
  const fours = Math.ceil(perGroup / FOUR);
  return TILE_BYTES * (TILE_ROWS + perGroup) + FOUR_BYTES * fours * (Hd + S) + 8 * perGroup * (S + TILE);
}

/** Of unit t · G + g: t, g, and the keys first … start + t that it sees, `count` of them. */
export function locateKeys(
  f: Body,
  p: Readonly<Record<"start" | "G" | "window", L>>,
  { unit, t, g, first, count }: Readonly<Record<"unit" | "t" | "g" | "first" | "count", L>>,
): void {
  const c = i32.const;
  f.set(t, i32.div_u(unit, p.G));
  f.set(g, i32.sub(unit, i32.mul(t, p.G)));
  f.set(count, i32.add(i32.add(p.start, t), c(1)));
  f.set(first, c(0));
  f.if(p.window, () =>
    f.if(i32.gt_u(count, p.window), () => {
      f.set(first, i32.sub(count, p.window));
      f.set(count, p.window);
    }),
  );
}

/** The group's queries, from byte `head` of q on, by fours. */
export function loadQueries(
  f: Body,
  p: Readonly<Record<"q" | "perGroup" | "Hd", L>>,
  { head, from, h, i, query, queryFour }: Readonly<Record<"head" | "from" | "h" | "i" | "query" | "queryFour", L>>,
): void {
  const c = i32.const;
  f.set(from, i32.add(p.q, head));
  f.for(h, c(0), p.perGroup, c(1), () =>
    f.for(i, c(0), p.Hd, c(1), () => {
      f.do(f64.store(inFours(query, queryFour, h, i), f64.promote_f32(f32.load(from))));
      f.set(from, i32.add(from, c(4)));
    }),
  );
}

export const attention: Kernel = kernel(
  "attention",
  ["scratch", "from", "to", "q", "k", "v", "out", "scale", "start", "G", "perGroup", "Hd", "window"],
  (f, p, { exp, kernel }) => {
    const [unit, t, g, first, count, h, i, s, rows, columns, at, from] = f.locals("i32", 12) as [L, L, L, L, L, L, L, L, L, L, L, L];
    const [acc, accEnd, query, queryFour, scores, scoreRow, weights, weightFour, rowBytes, kv, head, to] = f.locals("i32", 12) as [
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
    const [x, max, sum] = f.locals("f64", 3) as [Local<"f64">, Local<"f64">, Local<"f64">];
    const [scaleVector, four] = f.locals("v128", 2) as [Local<"v128">, Local<"v128">];
    const c = i32.const;
    const fours = i32.div_u(i32.add(p.perGroup, c(FOUR - 1)), c(FOUR));
    f.set(scaleVector, v128.load64_splat(p.scale));
    f.set(acc, i32.add(p.scratch, c(TILE_ROWS * TILE_BYTES)));
    f.set(accEnd, i32.add(acc, i32.mul(p.perGroup, c(TILE_BYTES))));
    f.set(query, accEnd);
    f.set(queryFour, i32.mul(p.Hd, c(FOUR_BYTES)));
    f.set(scores, i32.add(query, i32.mul(fours, queryFour)));
    f.set(rowBytes, i32.shl(i32.mul(p.G, p.Hd), c(2)));
    f.for(unit, p.from, p.to, c(1), () => {
      locateKeys(f, p, { unit, t, g, first, count });
      f.set(scoreRow, i32.shl(i32.add(count, c(TILE)), c(3)));
      f.set(weights, i32.add(scores, i32.mul(p.perGroup, scoreRow)));
      f.set(weightFour, i32.mul(count, c(FOUR_BYTES)));
      f.set(kv, i32.add(i32.mul(first, rowBytes), i32.shl(i32.mul(g, p.Hd), c(2))));
      f.set(head, i32.shl(i32.mul(i32.mul(unit, p.perGroup), p.Hd), c(2)));

      loadQueries(f, p, { head, from, h, i, query, queryFour });

      // scores[h, s] = q[h] · k[s] / √Hd, 16 keys at a time.
      f.for(s, c(0), count, c(TILE), () => {
        f.set(rows, i32.sub(count, s));
        f.if(i32.gt_u(rows, c(TILE)), () => f.set(rows, c(TILE)));
        f.for(at, acc, accEnd, c(16), () => f.do(v128.store(at, zero)));
        f.for(i, c(0), p.Hd, c(TILE_ROWS), () => {
          f.set(columns, i32.sub(p.Hd, i));
          f.if(i32.gt_u(columns, c(TILE_ROWS)), () => f.set(columns, c(TILE_ROWS)));
          f.set(from, i32.add(i32.add(i32.add(p.k, kv), i32.mul(s, rowBytes)), i32.shl(i, c(2))));
          f.call(kernel("expand-f32"), p.scratch, from, rowBytes, rows, columns);
          f.call(kernel("tile-product"), acc, p.scratch, i32.add(query, i32.mul(i, c(FOUR_BYTES))), columns, p.perGroup, queryFour);
        });
        f.set(to, i32.add(scores, i32.shl(s, c(3))));
        f.for(at, acc, accEnd, c(TILE_BYTES), () => {
          for (let j = 0; j < TILE_BYTES; j += 16) f.do(v128.store(to, f64x2.mul(v128.load(at, j), scaleVector), j));
          f.set(to, i32.add(to, scoreRow));
        });
      });

      // weights[h, s] = exp(x − max) / Σ exp(x − max), as core/ops/softmax.ts, rounded to f32.
      f.for(h, c(0), p.perGroup, c(1), () => {
        f.set(from, i32.add(scores, i32.mul(h, scoreRow)));
        f.set(to, i32.add(from, i32.shl(count, c(3))));
        f.set(max, f64.const(-Infinity));
        f.for(at, from, to, c(8), () => {
          f.set(x, f64.load(at));
          f.if(f64.gt(x, max), () => f.set(max, x));
        });
        f.set(sum, f64.const(0));
        f.for(at, from, to, c(8), () => {
          f.set(x, callValue(exp, f64.sub(f64.load(at), max)));
          f.set(sum, f64.add(sum, x));
          f.do(f64.store(at, x));
        });
        f.for(s, c(0), count, c(1), () => {
          f.set(x, f64.const(0));
          f.if(i32.eqz(f64.eq(max, f64.const(-Infinity))), () => f.set(x, f64.div(f64.load(i32.add(from, i32.shl(s, c(3)))), sum)));
          f.do(f64.store(inFours(weights, weightFour, h, s), f64.promote_f32(f32.demote_f64(x))));
        });
      });

      // out[h, i] = Σ_s weights[h, s] · v[s, i], 16 elements at a time.
      f.for(i, c(0), p.Hd, c(TILE), () => {
        f.set(columns, i32.sub(p.Hd, i));
        f.if(i32.gt_u(columns, c(TILE)), () => f.set(columns, c(TILE)));
        f.for(at, acc, accEnd, c(16), () => f.do(v128.store(at, zero)));
        f.for(s, c(0), count, c(TILE_ROWS), () => {
          f.set(rows, i32.sub(count, s));
          f.if(i32.gt_u(rows, c(TILE_ROWS)), () => f.set(rows, c(TILE_ROWS)));
          f.set(from, i32.add(i32.add(i32.add(p.v, kv), i32.mul(s, rowBytes)), i32.shl(i, c(2))));
          widenTile(f, p.scratch, { from, rows, rowBytes, at }, four);
          f.call(kernel("tile-product"), acc, p.scratch, i32.add(weights, i32.mul(s, c(FOUR_BYTES))), rows, p.perGroup, weightFour);
        });
        f.set(to, i32.add(i32.add(p.out, head), i32.shl(i, c(2))));
        f.for(at, acc, accEnd, c(TILE_BYTES), () => {
          f.for(h, c(0), columns, c(1), () =>
            f.do(f32.store(i32.add(to, i32.shl(h, c(2))), f32.demote_f64(f64.load(i32.add(at, i32.shl(h, c(3))))))),
          );
          f.set(to, i32.add(to, i32.shl(p.Hd, c(2))));
        });
      });
    });
  },
);

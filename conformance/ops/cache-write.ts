/**
 * Appending to the cache: on the CPU a `set`, on the GPU a kernel. The output is the whole cache afterwards, keys then
 * values, and the first position of what an f16 cache does not hold, or −1.
 */
import * as fc from "fast-check";
import { type Cached, expectF16, expectNoted, makeExpected } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly start: number;
  /** Positions of the cache after the last one written. */
  readonly rest: number;
  readonly width: number;
  readonly k: Recipe;
  readonly v: Recipe;
  /** Whose last value f16 does not hold. */
  readonly beyond?: "k" | "v";
}
export interface CacheWriteCase {
  readonly T: number;
  readonly start: number;
  readonly width: number;
  /** [T, width] */
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** What the caches held before, [positions, width]; representable in f16. */
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Index in the output of element `i` of `k`. */
const slot = (c: CacheWriteCase, i: number): number => c.start * c.width + i;

export const kit: Kit<Spec, CacheWriteCase> = {
  name: "cache-write",
  formula: "keys[start + t] = k[t], values[start + t] = v[t]",
  spec: fc.record({
    T: axis(9),
    start: fc.integer({ min: 0, max: 40 }),
    rest: fc.integer({ min: 0, max: 3 }),
    width: axis(400, 2, [32, 64, 128, 256]),
    k: recipe(),
    v: recipe(),
  }),
  boundaries: [2, 4, 62, 64, 66, 126, 128, 130, 254, 256, 258, 1024].map((width, i) => ({
    T: 1 + (i % 3),
    start: i,
    rest: 1,
    width,
    k: plain,
    v: { ...plain, kind: i % 2 ? ("f16Overflow" as const) : ("normal" as const) },
  })),
  reach: [
    { T: 1, start: 131_071, rest: 0, width: 4 },
    { T: 300, start: 32_700, rest: 1, width: 2 },
    { T: 600, start: 254, rest: 1, width: 130, beyond: "k" as const },
    { T: 600, start: 254, rest: 1, width: 130, beyond: "v" as const },
    { T: 2, start: 254, rest: 1, width: 1024 },
    { T: 1, start: 8191, rest: 0, width: 64 },
    { T: 1, start: 3, rest: 1, width: 5120 },
    // What f16 does not hold is noted where it is.
    { T: 2, start: 9000, rest: 0, width: 4, v: { ...plain, kind: "f16Overflow" as const } },
  ].map((shape) => ({ k: plain, v: { ...plain, seed: 2 }, ...shape })),
  make({ T, start, rest, width, k, v, beyond }) {
    const length = (start + T + rest) * width;
    const before = (seed: number): Float32Array => values({ kind: "integers", exponent: 0, seed }, length);
    const rows = { k: values(k, T * width), v: values(v, T * width) };
    if (beyond) rows[beyond][T * width - 1] = 1e6;
    return { T, start, width, ...rows, keys: before(3), values: before(4) };
  },
  length: (c) => 2 * c.keys.length + 1,
  expected(c, arithmetic) {
    const e = makeExpected(2 * c.keys.length + 1);
    const cached: Cached[] = [];
    e.value.set(c.keys);
    e.value.set(c.values, c.keys.length);
    for (const [offset, rows] of [[0, c.k] as const, [c.keys.length, c.v] as const]) {
      for (let i = 0; i < rows.length; i++) {
        const at = offset + slot(c, i);
        const x = rows[i]!;
        if (arithmetic === "f16-cache") cached.push({ position: c.start + Math.floor(i / c.width), value: x, error: 0 });
        const stored = arithmetic === "f16-cache" ? expectF16(x) : { value: x, bound: Math.abs(x) < 2 ** -126 ? Math.abs(x) : 0 };
        e.value[at] = stored.value;
        e.bound[at] = stored.bound;
      }
    }
    const noted = expectNoted(cached);
    e.value[e.value.length - 1] = noted.value;
    e.bound[e.bound.length - 1] = noted.bound;
    return e;
  },
  laws: [
    {
      name: "writes the same whether rows come at once or one by one, bit for bit",
      async check(c, { run }) {
        const at = (c.T - 1) * c.width;
        const whole = await run(c);
        const last = await run({ ...c, T: 1, start: c.start + c.T - 1, k: c.k.slice(at), v: c.v.slice(at) });
        return (
          sameBits(whole, last, slot(c, at), slot(c, at), c.width) ??
          sameBits(whole, last, c.keys.length + slot(c, at), c.keys.length + slot(c, at), c.width)
        );
      },
    },
  ],
  refusals: [],
  dotLike: false,
};

/** RoPE of one token of each of several sequences: q turned, turned k and v into the caches of their slots. */
import * as fc from "fast-check";
import { type RopeTables, rope, ropeTables } from "../../core/ops/rope.ts";
import { anglesAt, type Cached, expectNoted, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  /** Position of each row, its slot being its index from the back. */
  readonly positions: readonly number[];
  readonly shape: number;
  /** Positions of a slot; 13 where absent. */
  readonly capacity?: number;
  readonly y: Recipe;
}
export interface BatchRopeCase {
  readonly rows: readonly { readonly slot: number; readonly start: number }[];
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly slots: number;
  /** Positions of a slot. */
  readonly capacity: number;
  readonly tables: RopeTables;
  /** [T, (H + 2G) · Hd]: q, k, v of each row. */
  readonly y: Float32Array;
}

const heads = [
  { H: 1, G: 1, Hd: 4 },
  { H: 6, G: 2, Hd: 64 },
  { H: 4, G: 4, Hd: 128 },
  { H: 3, G: 3, Hd: 20 },
  // Of models, for cases of reach.
  { H: 28, G: 4, Hd: 128 },
  { H: 71, G: 1, Hd: 64 },
  { H: 40, G: 40, Hd: 128 },
] as const;
const DRAWN = 4;

/** Where row t's part of an output lies, for [q, keys, values]. */
const placeOf = (c: BatchRopeCase, t: number): readonly [number, number, number] => {
  const { slot, start } = c.rows[t]!;
  const queries = c.rows.length * c.H * c.Hd;
  const cached = (slot * c.capacity + start) * c.G * c.Hd;
  return [t * c.H * c.Hd, queries + cached, queries + c.slots * c.capacity * c.G * c.Hd + cached];
};

export const kit: Kit<Spec, BatchRopeCase> = {
  name: "batch-rope",
  formula: "q[t] = turned q; turned k, and v, into the caches at (slot[t], start[t]), the first beyond f16 noted for each slot",
  reference: {
    arithmetic: "f64",
    run(c, out) {
      const { rows, H, G, Hd, tables, y } = c;
      out.fill(0);
      rows.forEach(({ start }, t) => {
        const row = y.slice(t * (H + 2 * G) * Hd, (t + 1) * (H + 2 * G) * Hd);
        const turned = row.subarray(0, (H + G) * Hd);
        rope(turned, turned, tables, start, 1, H + G);
        const [q, k, v] = placeOf(c, t);
        out.set(row.subarray(0, H * Hd), q);
        out.set(row.subarray(H * Hd, (H + G) * Hd), k);
        out.set(row.subarray((H + G) * Hd), v);
      });
      out.fill(-1, out.length - c.slots);
    },
  },
  spec: fc.record({
    positions: fc.array(fc.nat(12), { minLength: 1, maxLength: 5 }),
    shape: fc.nat(DRAWN - 1),
    y: recipe(),
  }),
  boundaries: heads
    .slice(0, DRAWN)
    .flatMap((_, shape) =>
      [[0], [12, 0, 5], new Array(18).fill(3)].flatMap((positions) =>
        [plain, { ...plain, kind: "f16Overflow" as const }].map((y) => ({ positions, shape, y })),
      ),
    ),
  // The last positions of a context of 131,072; as many rows as a call has; heads of models.
  reach: [
    { positions: [131_071, 65_536], shape: 0, capacity: 131_072, y: plain },
    { positions: Array.from({ length: 128 }, (_, t) => (t * 5) % 13), shape: 0, y: { ...plain, kind: "f16Overflow" as const } },
    { positions: Array.from({ length: 16 }, (_, t) => t % 2), shape: 6, capacity: 2, y: plain },
    { positions: [257, 1], shape: 4, capacity: 258, y: plain },
    { positions: [7, 2], shape: 5, y: plain },
  ],
  make({ positions, shape, capacity = 13, y }) {
    const { H, G, Hd } = heads[shape]!;
    const tables = ropeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: capacity }, capacity);
    const rows = positions.map((start, t) => ({ slot: positions.length - t, start }));
    return { rows, H, G, Hd, slots: positions.length + 1, capacity, tables, y: values(y, rows.length * (H + 2 * G) * Hd) };
  },
  /** [q T·H·Hd, keys slots·capacity·G·Hd, values alike, position beyond f16 or −1 of each slot]; the caches start as zeros. */
  length: (c) => c.rows.length * c.H * c.Hd + 2 * c.slots * c.capacity * c.G * c.Hd + c.slots,
  expected(c, arithmetic) {
    const { rows, H, G, Hd, slots, y } = c;
    const e = makeExpected(kit.length(c));
    const half = Hd / 2;
    const cached: Cached[][] = Array.from({ length: slots }, () => []);
    for (const [t, { slot, start }] of rows.entries()) {
      const places = placeOf(c, t);
      const angles = anglesAt(start, { headDim: Hd, theta: 10000, scaling: { type: "none" }, maxContext: c.capacity });
      for (let head = 0; head < H + 2 * G; head++)
        for (let i = 0; i < half; i++) {
          const from = (t * (H + 2 * G) + head) * Hd + i;
          const [low, high] = [[y[from]!, 0] as const, [y[from + half]!, 0] as const];
          const turn = [angles.cos[i]!, angles.sin[i]!, angles.error[i]!] as const;
          const turned = head < H + G ? rotatePair(low, high, turn, wgsl) : [low, high];
          const [place, within] = head < H ? [places[0], head] : head < H + G ? [places[1], head - H] : [places[2], head - H - G];
          for (const [j, [value, error]] of turned.entries()) {
            const at = place + within * Hd + i + j * half;
            const inF16 = arithmetic === "f16-cache" && head >= H;
            if (inF16) cached[slot]!.push({ position: start, value, error });
            // v is stored as it is, but for a subnormal, which may be flushed.
            const kept = { value, bound: head < H + G ? error : Math.abs(value) < 2 ** -126 ? Math.abs(value) : 0 };
            const stored = inF16 ? storedAsF16(value, error) : kept;
            e.value[at] = stored.value;
            e.bound[at] = stored.bound;
          }
        }
    }
    cached.forEach((of, slot) => {
      const noted = expectNoted(of);
      e.value[e.value.length - slots + slot] = noted.value;
      e.bound[e.bound.length - slots + slot] = noted.bound;
    });
    return e;
  },
  laws: [
    {
      name: "gives each row what it gives alone, bit for bit",
      async check(c, { run }) {
        const width = (c.H + 2 * c.G) * c.Hd;
        const together = await run(c);
        for (let t = 0; t < c.rows.length; t++) {
          const one = { ...c, rows: [c.rows[t]!], y: c.y.slice(t * width, (t + 1) * width) };
          const alone = await run(one);
          const [own, all] = [placeOf(one, 0), placeOf(c, t)];
          for (const [i, length] of [c.H * c.Hd, c.G * c.Hd, c.G * c.Hd].entries()) {
            const wrong = sameBits(together, alone, all[i]!, own[i]!, length);
            if (wrong) return `row ${t}: ${wrong}`;
          }
        }
        return null;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};

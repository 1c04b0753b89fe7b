import * as fc from "fast-check";
import { rope } from "../../core/ops/rope.ts";
import { expectRope, rotationTable } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { type Rotated, rotated, type ScalingName, scalingNames } from "../cases/rope.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits, within } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly heads: number;
  readonly Hd: number;
  readonly start: number;
  readonly theta: number;
  /** Plain where absent. */
  readonly scaling?: ScalingName;
  /** What dynamic scaling is resolved for; the positions of the tables where absent. */
  readonly maxContext?: number;
  readonly x: Recipe;
}
export interface RopeCase extends Rotated {
  readonly T: number;
  readonly heads: number;
  readonly Hd: number;
  readonly start: number;
  /** [T, heads, Hd] */
  readonly x: Float32Array;
}

const LAST = 131_071;

const factorOf = ({ rotation: { scaling } }: RopeCase): number => (scaling.type === "yarn" ? scaling.attentionFactor : 1);

export const kit: Kit<Spec, RopeCase> = {
  name: "rope",
  formula: "(x_i, x_{i+Hd/2}) turned by position · θ^(−2i/Hd)",
  reference: { arithmetic: "f64", run: (c, out) => rope(out, c.x, c.tables, c.start, c.T, c.heads) },
  spec: fc
    .record({
      T: axis(5),
      heads: axis(9, 1, [2, 4, 8]),
      Hd: axis(160, 2, [8, 16, 32, 64, 128]),
      start: fc.oneof({ withCrossShrink: true }, fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 700 })),
      theta: fc.constantFrom(10000, 1e6),
      scaling: fc.constantFrom(...scalingNames),
      x: recipe(),
    })
    // Dynamic scaling has no base for one pair.
    .map((s) => (s.scaling === "dynamic" && s.Hd === 2 ? { ...s, Hd: 4 } : s)),
  boundaries: [2, 4, 32, 62, 64, 66, 80, 126, 128, 130, 256].flatMap((Hd) =>
    [0, 1, 255].map((start) => ({ T: 3, heads: 3, Hd, start, theta: 10000, x: plain })),
  ),
  reach: [
    // Every scaling at the last position of a long context, and where it begins to matter.
    ...scalingNames.flatMap((scaling) => [
      { T: 1, heads: 1, Hd: 16, start: LAST, theta: 500_000, scaling, maxContext: LAST + 1, x: plain },
      { T: 2, heads: 2, Hd: 128, start: 4095, theta: 10000, scaling, maxContext: LAST + 1, x: plain },
    ]),
    { T: 1, heads: 1, Hd: 64, start: LAST, theta: 500_000, scaling: "llama3", maxContext: LAST + 1, x: plain },
    // As many heads as models have, of no power of two; more rows than a chunk.
    { T: 1, heads: 71, Hd: 64, start: 1023, theta: 10000, x: plain },
    { T: 2, heads: 64, Hd: 128, start: 2047, theta: 10000, x: plain },
    { T: 600, heads: 3, Hd: 40, start: 32_700, theta: 1e6, x: plain },
    { T: 2, heads: 3, Hd: 4, start: LAST - 1, theta: 10000, x: plain },
  ],
  make: ({ T, heads, Hd, start, theta, scaling = "none", maxContext, x }) => ({
    T,
    heads,
    Hd,
    start,
    ...rotated(Hd, theta, scaling, start, start + T + 2, maxContext),
    x: values(x, T * heads * Hd),
  }),
  length: (c) => c.x.length,
  expected: (c, arithmetic) => expectRope(c.x, rotationTable(c.rotation, c.start, c.T), c.start, c.T, c.heads, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "preserves the norm of each pair, but for YaRN's factor",
      async check(c, { run, expected }) {
        const { bound } = expected(c);
        const out = await run(c);
        const half = c.Hd / 2;
        for (let i = 0; i < c.x.length; i++) {
          if (i % c.Hd >= half) continue;
          const before = factorOf(c) * Math.hypot(c.x[i]!, c.x[i + half]!);
          const slack = Math.hypot(bound[i]!, bound[i + half]!) + 2 ** -50 * before;
          const wrong = within(`pair at ${i}`, Math.hypot(out[i]!, out[i + half]!), before, slack);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "leaves position 0 as it is, but for YaRN's factor",
      async check(c, { run }) {
        if (factorOf(c) !== 1) return null;
        const x = c.x.slice(0, c.heads * c.Hd).map((v) => (Math.abs(v) < 2 ** -126 ? 0 : v));
        return sameBits(await run({ ...c, T: 1, start: 0, x }), x);
      },
    },
    {
      name: "depends only on relative position: dots of rotated rows agree at start and start + 2",
      async check(c, { run, expected }) {
        // Rows of every position the same x as query and its reverse as key, so that T = 2 gives positions one apart.
        const width = c.heads * c.Hd;
        const x = new Float32Array(2 * width);
        for (let i = 0; i < width; i++) {
          x[i] = c.x[i]!;
          x[width + i] = c.x[width - 1 - i]!;
        }
        const sums: { dot: number; slack: number }[] = [];
        for (const start of [c.start, c.start + c.T]) {
          const at = { ...c, T: 2, start, x };
          const out = await run(at);
          const { bound } = expected(at);
          let dot = 0;
          let slack = 0;
          for (let i = 0; i < width; i++) {
            const [p, q] = [out[i]!, out[width + i]!];
            dot += p * q;
            slack += bound[i]! * (Math.abs(q) + bound[width + i]!) + bound[width + i]! * Math.abs(p);
            // position · frequency, cos and sin are f64: each angle is off by up to 2⁻⁵² of at most `start + T + 1`.
            const other = i % c.Hd < c.Hd / 2 ? i + c.Hd / 2 : i - c.Hd / 2;
            const turned = Math.hypot(p, out[other]!) * Math.hypot(q, out[width + other]!);
            slack += (4 * (c.start + c.T + 2) + width) * 2 ** -52 * turned;
          }
          sums.push({ dot, slack });
        }
        const [a, b] = sums as [{ dot: number; slack: number }, { dot: number; slack: number }];
        return within("dot", b.dot, a.dot, a.slack + b.slack);
      },
    },
    {
      name: "rotates each head alone, bit for bit",
      async check(c, { run }) {
        const at = (c.T * c.heads - 1) * c.Hd;
        const alone = await run({ ...c, T: 1, heads: 1, start: c.start + c.T - 1, x: c.x.slice(at) });
        return sameBits(await run(c), alone, at, 0, c.Hd);
      },
    },
  ],
  refusals: [
    refuseShort("x", (c) => ({ ...c, x: c.x.subarray(1) })),
    refuseShort("out", (c) => c, true),
    { name: "a position past the tables", code: "context", spoil: (c, out) => ({ case: { ...c, start: c.start + 3 }, out }) },
  ],
  dotLike: false,
};

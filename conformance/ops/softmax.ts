import * as fc from "fast-check";
import { softmax } from "../../core/ops/softmax.ts";
import { expectSoftmax } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, uniform, values } from "../arbitraries.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { within } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly length: number;
  readonly x: Recipe;
  /** How many of 8 scores are −∞. */
  readonly masked: number;
}
export interface SoftmaxCase {
  readonly x: Float32Array;
}

export const kit: Kit<Spec, SoftmaxCase> = {
  name: "softmax",
  formula: "out_i = exp(x_i − max x) / Σ_j exp(x_j − max x)",
  reference: { arithmetic: "f64", run: (c, out) => softmax(out, 0, c.x, 0, c.x.length) },
  spec: fc.record({
    length: axis(2100, 1, [2, 4, 32, 64, 128, 256, 1024, 2048]),
    x: recipe(undefined, 6),
    masked: fc.constantFrom(0, 0, 1, 4, 7),
  }),
  boundaries: [
    ...[1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 257, 4097].map((length) => ({ length, x: plain, masked: 0 })),
    { length: 5, x: plain, masked: 8 },
    { length: 300, x: { kind: "oneHot", exponent: 6, seed: 1 }, masked: 0 },
    { length: 300, x: { kind: "equal", exponent: 6, seed: 1 }, masked: 0 },
    { length: 300, x: { ...plain, exponent: 6 }, masked: 0 },
  ],
  reach: [32_769, 131_072].map((length) => ({ length, x: { ...plain, exponent: 2 }, masked: 1 })),
  make({ length, x, masked }) {
    const next = uniform(x.seed + 1);
    return { x: values(x, length).map((v) => (Math.floor(next() * 8) < masked ? -Infinity : v)) };
  },
  length: (c) => c.x.length,
  expected: (c, arithmetic) => expectSoftmax(c.x, c.x.length, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "sums to 1",
      async check(c, { run, expected }) {
        const { value, bound } = expected(c);
        const sum = (await run(c)).reduce((s, p) => s + p, 0);
        const exact = value.reduce((s, p) => s + p, 0);
        return exact === 0 ? within("sum", sum, 0, 0) : within("sum", sum, 1, bound.reduce((s, b) => s + b, 0) + c.x.length * 2 ** -52);
      },
    },
    {
      name: "does not see a shift of every score",
      async check(c, { run, expected }) {
        // Multiples of 1/64 up to 2¹⁵ in magnitude: the shifted scores are exact in f32.
        const x = c.x.map((v) => (v === -Infinity ? v : Math.max(-1000, Math.min(1000, Math.round(v * 64) / 64))));
        const shifted = x.map((v) => v + 8192);
        const bound = expected({ x }).bound;
        const [a, b] = [await run({ x }), await run({ x: shifted })];
        for (let i = 0; i < a.length; i++) {
          const wrong = within(`element ${i}`, b[i]!, a[i]!, 2 * bound[i]!);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "gives equal scores equal weights and −∞ none",
      async check(c, { run }) {
        const out = await run(c);
        const seen = new Map<number, number>();
        for (let i = 0; i < out.length; i++) {
          if (c.x[i] === -Infinity && out[i] !== 0) return `element ${i}: a masked score has weight ${out[i]}`;
          const other = seen.get(c.x[i]!);
          if (other !== undefined && other !== out[i]) return `element ${i}: an equal score has weight ${other}, this one ${out[i]}`;
          seen.set(c.x[i]!, out[i]!);
        }
        return null;
      },
    },
  ],
  refusals: [refuseShort("out", (c) => c, true)],
  dotLike: false,
};

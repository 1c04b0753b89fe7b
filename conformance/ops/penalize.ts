/** The repetition penalty over all logits: the part of sampling that has an array as its result. */
import * as fc from "fast-check";
import { penalize } from "../../core/sample/sampler.ts";
import { makeExpected, ulpF32 } from "../accuracy.ts";
import { axis, type Recipe, recipe, uniform, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly V: number;
  readonly penalty: number;
  readonly data: Recipe;
}
export interface PenalizeCase {
  readonly logits: Float32Array;
  readonly seen: readonly number[];
  readonly penalty: number;
}

const plain: Recipe = { kind: "normal", exponent: 2, seed: 1 };

export const kit: Kit<Spec, PenalizeCase> = {
  name: "penalize",
  formula: "out[i] = logits[i] · (i not seen ? 1 : logits[i] > 0 ? f32(1/r) : f32(r))",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      out.set(c.logits);
      penalize(out, c.seen, c.penalty);
    },
  },
  spec: fc.record({
    V: axis(2100, 1, [2, 32, 64, 256, 1024, 2048]),
    penalty: fc.constantFrom(1.5, 2, 0.5, 1.1, 100, 0.01),
    data: recipe(),
  }),
  boundaries: [1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 513, 4096].map((V) => ({ V, penalty: 1.3, data: plain })),
  reach: [64, 32_768, 152_064, 256_000].map((V) => ({ V, penalty: 1.3, data: plain })),
  make({ V, penalty, data }) {
    const next = uniform(data.seed + 1);
    return { logits: values(data, V), seen: Array.from({ length: Math.ceil(V / 3) }, () => Math.floor(next() * V)), penalty };
  },
  length: (c) => c.logits.length,
  expected(c, arithmetic) {
    const e = makeExpected(c.logits.length);
    const seen = new Set(c.seen);
    for (let i = 0; i < c.logits.length; i++) {
      const l = c.logits[i]!;
      const factor = seen.has(i) ? (l > 0 ? Math.fround(1 / c.penalty) : Math.fround(c.penalty)) : 1;
      e.value[i] = l * factor;
      const rounded = Math.fround(l * factor) === l * factor ? 0 : ulpF32(l * factor);
      const flushed = Math.min(Math.abs(l), Math.abs(l * factor)) < 2 ** -126 ? Math.abs(l * factor) : 0;
      e.bound[i] = arithmetic === "f64" ? rounded / 2 : Math.max(rounded, flushed);
    }
    return e;
  },
  laws: [
    {
      name: "leaves what was not seen as it is, bit for bit, and counts a repeated id once",
      async check(c, { run }) {
        const plainLogits = c.logits.map((l) => (Math.abs(l) < 2 ** -120 ? 0 : l));
        const wrong = sameBits(await run({ ...c, logits: plainLogits, seen: [] }), plainLogits);
        return wrong ?? sameBits(await run({ ...c, seen: [...c.seen, ...c.seen] }), await run(c));
      },
    },
  ],
  refusals: [],
  dotLike: false,
};

import * as fc from "fast-check";
import { add } from "../../core/ops/add.ts";
import { expectAdd } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly length: number;
  readonly a: Recipe;
  readonly b: Recipe;
}
export interface AddCase {
  readonly length: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

export const kit: Kit<Spec, AddCase> = {
  name: "add",
  formula: "out = a + b",
  reference: { arithmetic: "f64", run: (c, out) => add(out, c.a, c.b, c.length) },
  spec: fc.record({ length: axis(2100, 1, [2, 4, 32, 64, 128, 256, 1024, 2048]), a: recipe(), b: recipe() }),
  boundaries: [1, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1024, 70_000].map((length) => ({ length, a: plain, b: { ...plain, seed: 2 } })),
  // As many rows as a chunk has, and one row wider than any model's.
  reach: [286_720, 28_673].map((length) => ({ length, a: { ...plain, kind: "integers" }, b: { ...plain, kind: "integers", seed: 2 } })),
  make: ({ length, a, b }) => ({ length, a: values(a, length), b: values(b, length) }),
  length: (c) => c.length,
  expected: (c, arithmetic) => expectAdd(c.a, c.b, c.length, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "commutes, bit for bit",
      async check(c, { run }) {
        return sameBits(await run(c), await run({ ...c, a: c.b, b: c.a }));
      },
    },
    {
      name: "gives the other operand where one is zero",
      async check(c, { run }) {
        const normal = c.a.map((x) => (Math.abs(x) < 2 ** -126 ? 0 : x));
        return sameBits(await run({ ...c, a: normal, b: new Float32Array(c.length) }), normal, 0, 0, c.length);
      },
    },
  ],
  refusals: [
    refuseShort("a", (c) => ({ ...c, a: c.a.subarray(1) })),
    refuseShort("b", (c) => ({ ...c, b: c.b.subarray(1) })),
    refuseShort("out", (c) => c, true),
  ],
  dotLike: false,
};

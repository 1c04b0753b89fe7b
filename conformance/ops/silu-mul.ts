import * as fc from "fast-check";
import { siluMul } from "../../core/ops/silu-mul.ts";
import { expectSiluMul } from "../accuracy.ts";
import { axis, type Recipe, recipe, values } from "../arbitraries.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits, within } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly length: number;
  readonly gate: Recipe;
  readonly up: Recipe;
}
export interface SiluMulCase {
  readonly length: number;
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

const plain: Recipe = { kind: "normal", exponent: 2, seed: 1 };

export const kit: Kit<Spec, SiluMulCase> = {
  name: "silu-mul",
  formula: "out = gate / (1 + exp(−gate)) · up",
  reference: { arithmetic: "f64", run: (c, out) => siluMul(out, c.gate, c.up, c.length) },
  spec: fc.record({ length: axis(2100, 1, [2, 4, 32, 64, 128, 256, 1024, 2048]), gate: recipe(undefined, 7), up: recipe() }),
  boundaries: [
    ...[1, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1024, 70_000].map((length) => ({ length, gate: plain, up: { ...plain, seed: 2 } })),
    // exp(−g) on both sides of the end of f32, and far beyond it
    { length: 600, gate: { ...plain, exponent: 6 }, up: plain },
    { length: 600, gate: { kind: "f16Overflow", exponent: 0, seed: 3 }, up: plain },
  ],
  // As many rows as a chunk has, and one row wider than any model's.
  reach: [286_720, 28_673].map((length) => ({
    length,
    gate: { ...plain, kind: "integers" },
    up: { ...plain, kind: "integers", seed: 2 },
  })),
  make: ({ length, gate, up }) => ({ length, gate: values(gate, length), up: values(up, length) }),
  length: (c) => c.length,
  expected: (c, arithmetic) => expectSiluMul(c.gate, c.up, c.length, arithmeticOf(arithmetic)),
  laws: [
    {
      // silu(g) − silu(−g) = g
      name: "is odd but for its linear part",
      async check(c, { run, expected }) {
        const negated = { ...c, gate: c.gate.map((g) => -g) };
        const [plus, minus] = [await run(c), await run(negated)];
        const [a, b] = [expected(c).bound, expected(negated).bound];
        for (let i = 0; i < c.length; i++) {
          const wrong = within(`element ${i}`, plus[i]! - minus[i]!, c.gate[i]! * c.up[i]!, a[i]! + b[i]! + 2 ** -50 * Math.abs(plus[i]!));
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "is linear in up: twice the one is twice the other, bit for bit",
      async check(c, { run }) {
        const up = c.up.map((x) => (Math.abs(x) < 2 ** -40 || Math.abs(x) > 2 ** 100 ? 0 : x));
        const gate = c.gate.map((x) => (Math.abs(x) < 2 ** -40 ? 0 : Math.max(-40, Math.min(1e9, x))));
        const once = await run({ ...c, gate, up });
        const twice = await run({ ...c, gate, up: up.map((x) => 2 * x) });
        return sameBits(
          once.map((x) => 2 * x),
          twice,
        );
      },
    },
  ],
  refusals: [
    refuseShort("gate", (c) => ({ ...c, gate: c.gate.subarray(1) })),
    refuseShort("up", (c) => ({ ...c, up: c.up.subarray(1) })),
    refuseShort("out", (c) => c, true),
  ],
  dotLike: false,
};

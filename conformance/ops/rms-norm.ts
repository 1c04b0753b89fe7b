import * as fc from "fast-check";
import { rmsNorm } from "../../core/ops/rms-norm.ts";
import { expectRmsNorm } from "../accuracy.ts";
import { axis, dataKinds, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits, within } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly D: number;
  readonly eps: number;
  readonly x: Recipe;
  readonly weight: Recipe;
}
export interface RmsNormCase {
  readonly T: number;
  readonly eps: number;
  /** [T, D] */
  readonly x: Float32Array;
  /** [D] */
  readonly weight: Float32Array;
}

export const kit: Kit<Spec, RmsNormCase> = {
  name: "rms-norm",
  formula: "out[t, d] = x[t, d] / √(mean_d x² + eps) · weight[d]",
  reference: { arithmetic: "f64", run: (c, out) => rmsNorm(out, c.x, c.weight, c.eps, c.T) },
  spec: fc.record({
    T: axis(6),
    D: axis(1100, 1, [2, 4, 32, 64, 128, 256, 512, 1024]),
    eps: fc.constantFrom(1e-5, 1e-6, 1e-12, 1),
    x: recipe(dataKinds, 20),
    weight: recipe(["ones", "integers", "normal", "positive", "mixed", "outliers", "zeros", "oneHot"]),
  }),
  boundaries: [1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 4096, 8192].map((D) => ({
    T: D > 1024 ? 1 : 3,
    D,
    eps: 1e-5,
    x: plain,
    weight: { ...plain, seed: 2 },
  })),
  reach: [
    { T: 5, D: 8192 },
    { T: 5, D: 16_384 },
    { T: 300, D: 34 },
    { T: 2050, D: 4 },
  ].map((shape) => ({ ...shape, eps: 1e-6, x: plain, weight: { ...plain, seed: 2 } })),
  make: ({ T, D, eps, x, weight }) => ({ T, eps: Math.fround(eps), x: values(x, T * D), weight: values(weight, D) }),
  length: (c) => c.x.length,
  expected: (c, arithmetic) => expectRmsNorm(c.x, c.weight, c.eps, c.T, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "negates with its input, bit for bit",
      async check(c, { run }) {
        const minus = await run({ ...c, x: c.x.map((x) => -x) });
        return sameBits(
          await run(c),
          minus.map((y) => -y),
        );
      },
    },
    {
      name: "does not see the scale of x where eps grows with its square",
      async check(c, { run, expected }) {
        const modest = { ...c, x: c.x.map((x) => (Math.abs(x) < 2 ** 120 ? x : 0)) };
        const scaled = { ...c, eps: c.eps * 16, x: modest.x.map((x) => x * 4) };
        const [a, b] = [await run(modest), await run(scaled)];
        const [ea, eb] = [expected(modest), expected(scaled)];
        for (let i = 0; i < a.length; i++) {
          const wrong = within(
            `element ${i}`,
            b[i]!,
            a[i]!,
            ea.bound[i]! + eb.bound[i]! + Math.abs(ea.value[i]! - eb.value[i]!) + 2 ** -50 * Math.abs(a[i]!),
          );
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "computes each row alone, bit for bit",
      async check(c, { run }) {
        const D = c.weight.length;
        const whole = await run(c);
        const last = await run({ ...c, T: 1, x: c.x.slice((c.T - 1) * D) });
        return sameBits(whole, last, (c.T - 1) * D, 0, D);
      },
    },
  ],
  refusals: [refuseShort("x", (c) => ({ ...c, x: c.x.subarray(1) })), refuseShort("out", (c) => c, true)],
  dotLike: false,
};

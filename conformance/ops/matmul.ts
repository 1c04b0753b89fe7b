import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import { matmul } from "../../core/ops/matmul.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { denseElement, expectMatmul } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { linearLaws } from "../cases/linear-laws.ts";
import { denseMatrix } from "../cases/matrices.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly K: number;
  readonly N: number;
  readonly dtype: FloatDType;
  readonly x: Recipe;
  readonly weight: Recipe;
  readonly bias: Recipe | null;
}
export interface MatmulCase {
  readonly T: number;
  /** [T, K] */
  readonly x: Float32Array;
  readonly weight: DenseMatrix;
  readonly bias: Float32Array | null;
}

export const kit: Kit<Spec, MatmulCase> = {
  name: "matmul",
  formula: "out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n]",
  reference: { arithmetic: "f64", run: (c, out) => matmul(out, c.x, c.weight, c.bias, c.T) },
  spec: fc.record({
    T: axis(9, 1, [2, 4, 8]),
    K: axis(520),
    N: axis(70, 1, [2, 4, 8, 16, 32, 64]),
    dtype: fc.constantFrom<FloatDType>("F16", "BF16", "F32"),
    x: recipe(),
    weight: recipe(),
    bias: fc.option(recipe(), { nil: null }),
  }),
  boundaries: [
    ...[1, 2, 3, 6, 7, 8, 9, 15, 16, 17, 62, 63, 64, 65, 126, 127, 128, 129, 130, 255, 256, 257, 511, 514, 1026].map((K) => ({
      T: 2,
      K,
      N: 5,
    })),
    ...[1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257].map((N) => ({ T: 2, K: 34, N })),
    ...[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65].map((T) => ({ T, K: 66, N: 17 })),
  ].map((shape, i) => ({
    ...shape,
    dtype: (["F16", "BF16", "F32"] as const)[i % 3]!,
    x: plain,
    weight: { ...plain, seed: 2 },
    bias: i % 2 ? { ...plain, seed: 3 } : null,
  })),
  reach: (
    [
      { T: 1, K: 14_336, N: 5, dtype: "F16" },
      { T: 2, K: 28_672, N: 3, dtype: "BF16" },
      { T: 1, K: 2, N: 152_064, dtype: "F16" },
      { T: 2, K: 10, N: 32_768, dtype: "F32" },
      { T: 64, K: 24, N: 4224, dtype: "F16" },
      { T: 1, K: 112, N: 4224, dtype: "F16" },
      { T: 700, K: 130, N: 3, dtype: "F16" },
      { T: 2050, K: 2, N: 3, dtype: "F16" },
    ] as const
  ).map((shape) => ({
    ...shape,
    x: plain,
    weight: { ...plain, kind: "integers", seed: 2 },
    bias: shape.T === 64 ? null : { ...plain, kind: "integers", seed: 3 },
  })),
  make: ({ T, K, N, dtype, x, weight, bias }) => ({
    T,
    x: values(x, T * K),
    weight: denseMatrix(weight, dtype, N, K),
    bias: bias ? values(bias, N) : null,
  }),
  length: (c) => c.T * c.weight.outFeatures,
  expected: (c, arithmetic) => expectMatmul(c.x, c.weight, c.bias, c.T, arithmeticOf(arithmetic)),
  laws: [
    ...linearLaws<MatmulCase>(({ weight }) => {
      let least = Infinity;
      for (let n = 0; n < weight.outFeatures; n++)
        for (let k = 0; k < weight.inFeatures; k++) least = Math.min(least, Math.abs(denseElement(weight, n, k)) || Infinity);
      return least;
    }),
    {
      name: "gives a column of W for a one-hot x, exactly",
      async check(c, { run }) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        const at = (c.x.length * 7 + N) % K;
        const x = new Float32Array(c.T * K);
        for (let t = 0; t < c.T; t++) x[t * K + at] = 1;
        const column = new Float32Array(c.T * N);
        for (let i = 0; i < column.length; i++) column[i] = denseElement(c.weight, i % N, at);
        const out = await run({ ...c, x, bias: null });
        for (let i = 0; i < out.length; i++) if (Math.abs(column[i]!) < 2 ** -126 && Math.abs(out[i]!) < 2 ** -126) out[i] = column[i]!;
        return sameBits(out, column);
      },
    },
    {
      name: "gives the bias for x = 0, exactly",
      async check(c, { run }) {
        const bias = (c.bias ?? new Float32Array(c.weight.outFeatures)).map((b) => (Math.abs(b) < 2 ** -126 ? 0 : b));
        const out = await run({ ...c, bias, x: new Float32Array(c.x.length) });
        for (let t = 0; t < c.T; t++) {
          const wrong = sameBits(out, bias, t * bias.length, 0, bias.length);
          if (wrong) return wrong;
        }
        return null;
      },
    },
  ],
  refusals: [
    refuseShort("x", (c) => ({ ...c, x: c.x.subarray(1) })),
    refuseShort("weight", (c) => ({ ...c, weight: { ...c.weight, data: c.weight.data.subarray(1) } })),
    refuseShort("bias", (c) => ({ ...c, bias: new Float32Array(c.weight.outFeatures - 1) })),
    refuseShort("out", (c) => c, true),
  ],
  dotLike: true,
};

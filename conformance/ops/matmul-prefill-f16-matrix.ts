/** The dense linears of a prompt by subgroup matrices: f16 operands, f32 sums. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { denseElement, type Expected, expectF16 } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe } from "../arbitraries.ts";
import { denseMatrix } from "../cases/matrices.ts";
import { expectF16Products, F16_TINY, f16Row, sparse, valuesBefore } from "../cases/prefill-linear.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  /** As in cases/prefill-linear.ts. */
  readonly every?: number;
  readonly dtype: FloatDType;
  readonly T: number;
  readonly adds: boolean;
  readonly x: Recipe;
  readonly weight: Recipe;
}
export interface DenseLinearCase {
  readonly T: number;
  /** [T, K], f16 values */
  readonly x: Float32Array;
  readonly weight: DenseMatrix;
  /** [T, N]: what y holds before; null where the product replaces it. */
  readonly before: Float32Array | null;
}

/** Steps of 64 along K: one, three, nine; a tile, two and a half. */
const shapes = [
  { K: 64, N: 128 },
  { K: 192, N: 64 },
  { K: 576, N: 192 },
  // For cases of reach.
  { K: 14_336, N: 64 },
  { K: 192, N: 28_672 },
  { K: 320, N: 4352 },
  { K: 6528, N: 128 },
] as const;
const dtypes = ["F16", "BF16", "F32"] as const;

export const kit: Kit<Spec, DenseLinearCase> = {
  name: "matmul-prefill-f16-matrix",
  formula: "y[t, n] (+)= Σ_k x[t, k] · f16(W[n, k]), f32 sums",
  spec: fc.record({
    shape: fc.nat(2),
    dtype: fc.constantFrom<FloatDType>(...dtypes),
    T: axis(5, 1, [16, 64]),
    adds: fc.boolean(),
    x: recipe(),
    weight: recipe(),
  }),
  boundaries: [
    ...[1, 31, 32, 33, 127, 128, 129].map((T, i) => ({ shape: 0, dtype: dtypes[i % 3]!, T, adds: T % 2 === 0 })),
    ...[0, 1, 2].flatMap((shape) => dtypes.map((dtype) => ({ shape, dtype, T: 3, adds: shape === 1 }))),
  ].map((one) => ({ ...one, x: plain, weight: { ...plain, seed: 2 } })),
  // As those of awq-prefill-f16-matrix.
  reach: [
    { shape: 3, T: 128, every: 257, dtype: "F32" as const },
    { shape: 3, T: 128, every: 257, dtype: "F16" as const },
    { shape: 3, T: 16, every: 257, dtype: "F16" as const },
    { shape: 4, T: 2, every: 7, dtype: "BF16" as const },
    { shape: 5, T: 128, every: 37, dtype: "F16" as const },
    { shape: 1, T: 700, every: 7, dtype: "BF16" as const },
    { shape: 6, T: 32, every: 37, dtype: "F16" as const },
  ].map((far) => ({ ...far, adds: true, x: plain, weight: { ...plain, seed: 2 } })),
  make({ shape, dtype, T, adds, x, weight, every }) {
    const { K, N } = shapes[shape]!;
    return {
      T,
      x: sparse(f16Row(x, T * K), every),
      weight: denseMatrix(weight, dtype, N, K),
      before: adds ? valuesBefore(x, T * N) : null,
    };
  },
  length: (c) => c.T * c.weight.outFeatures,
  expected: expectDense,
  laws: [
    {
      name: "computes each row alone, bit for bit",
      async check(c, { run }) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        const from = c.T - 1;
        const alone = await run({ ...c, T: 1, x: c.x.slice(from * K), before: c.before?.slice(from * N) ?? null });
        return sameBits(await run(c), alone, from * N, 0, N);
      },
    },
  ],
  refusals: [],
  dotLike: true,
};

/** bf16 and f32 round to f16, clamped to what it holds; f16 stays, but for subnormal numbers, which may be read as zero. */
function expectDense({ T, x, weight, before }: DenseLinearCase): Expected {
  const { inFeatures: K, outFeatures: N, dtype } = weight;
  return expectF16Products({ T, K, N, x, before }, (n, k) => {
    const w = Math.max(-65504, Math.min(65504, denseElement(weight, n, k)));
    if (Math.abs(w) < F16_TINY) return [w, Math.abs(w)];
    return [w, dtype === "F16" ? 0 : expectF16(w).bound];
  });
}

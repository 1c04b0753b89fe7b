/** The products that the linears of one row are made with: their weights, and the bound of x · W. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { type Expected, expectAwqMatmul, expectFixed16, expectMatmul, inverseRms, plusExact, scaledByRms, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe } from "../arbitraries.ts";
import { type NormedRow, quantized } from "./fixed16.ts";
import { type AwqSpec, awqMatrix, awqSpec, denseMatrix, usualAwq } from "./matrices.ts";

type Addends = readonly Float32Array[];

/** S: what weights are drawn as; W: the weights. */
export interface ProductCases<S extends { readonly seed: number }, W extends AwqMatrix | DenseMatrix> {
  readonly spec: fc.Arbitrary<S>;
  /** Specs to begin with. */
  readonly usual: readonly S[];
  make(spec: S, K: number, N: number, groupSize: number): W;
  /** x · W of one row, and what is added to it. */
  expected(x: Float32Array, weight: W, ...addends: Addends): Expected;
}

const int4 = (expected: ProductCases<AwqSpec, AwqMatrix>["expected"]): ProductCases<AwqSpec, AwqMatrix> => ({
  spec: awqSpec,
  usual: [usualAwq],
  make: awqMatrix,
  expected,
});

export const fixed16Product: ProductCases<AwqSpec, AwqMatrix> = int4((x, weight, ...addends) =>
  expectFixed16(quantized(x), weight, null, wgsl, ...addends),
);
/** The scale on the sum of a block. */
export const f32Product: ProductCases<AwqSpec, AwqMatrix> = int4((x, weight, ...addends) =>
  expectAwqMatmul(x, weight, null, 1, wgsl, false, ...addends),
);

export type DenseSpec = Recipe & { readonly dtype: FloatDType };
const dtypes = ["F16", "BF16", "F32"] as const;

export const denseProduct: ProductCases<DenseSpec, DenseMatrix> = {
  spec: fc
    .record({
      dtype: fc.constantFrom(...dtypes),
      data: recipe(["ones", "integers", "normal", "positive", "cancelling", "outliers"]),
    })
    .map(({ dtype, data }) => ({ dtype, ...data })),
  usual: dtypes.map((dtype) => ({ dtype, ...plain, seed: 5 })),
  make: ({ dtype, ...data }, K, N) => denseMatrix(data, dtype, N, K),
  expected: (x, weight, ...addends) => expectMatmul(x, weight, null, 1, wgsl, ...addends),
};

/** x · W / rms + bias of a row that is to be normed. */
export function normed<S extends { readonly seed: number }, W extends AwqMatrix | DenseMatrix>(
  { expected }: ProductCases<S, W>,
  c: NormedRow,
  weight: W,
  bias: Float32Array | null,
): Expected {
  const y = scaledByRms(expected(c.scaled, weight), inverseRms(c.squares, c.scaled.length, c.eps, wgsl), wgsl);
  return bias ? plusExact(y, bias, wgsl) : y;
}

/** Dense linears of `exact`: equality with the CPU, the weights' fixed rows made on the device too. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import { referenceExactOps } from "../../core/exact/ops.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { type Recipe, uniform } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { type ExactLinearCase, productsBy } from "../cases/exact-linear.ts";
import { denseMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly dtype: FloatDType;
  readonly x: Recipe;
  readonly weight: Recipe;
  readonly other: Recipe;
  /** Instead of `weight` any words: subnormal, infinite and none at all too. */
  readonly words?: true;
}
export type ExactDenseCase = ExactLinearCase<DenseMatrix>;

const shapes = [
  { K: 5, N: 3, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 192, N: 17, T: 5, P: 4, tile: 4, bias: true, adds: true },
  { K: 2100, N: 9, T: 2, P: 3, tile: 4, bias: true, adds: false },
  // More than one tile of 64 × 64, and not whole ones.
  { K: 40, N: 97, T: 83, P: 4, tile: 4, bias: true, adds: true },
  // Of models, for cases of reach.
  { K: 14_336, N: 8, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 4, N: 70_000, T: 1, P: 3, tile: 1, bias: true, adds: true },
  { K: 4, N: 128, T: 600, P: 3, tile: 4, bias: true, adds: true },
  // More blocks than columns of a tile hold, for every row of it.
  { K: 33_000, N: 17, T: 67, P: 3, tile: 4, bias: true, adds: true },
  // More than 256 blocks of four digits.
  { K: 8300, N: 8, T: 3, P: 4, tile: 4, bias: false, adds: false },
] as const;

function anyWords(dtype: FloatDType, outFeatures: number, inFeatures: number): DenseMatrix {
  const next = uniform(outFeatures);
  const words = (bits: number, infinite: number): number[] =>
    Array.from({ length: outFeatures * inFeatures }, (_, i) => (i === inFeatures ? infinite : Math.floor(next() * 2 ** bits)));
  const infinite = dtype === "F16" ? 0x7c00 : 0xff80;
  const data = dtype === "F32" ? new Float32Array(Uint32Array.from(words(32, 0xff80_0000)).buffer) : Uint16Array.from(words(16, infinite));
  return { kind: "dense", dtype, outFeatures, inFeatures, data };
}

const result = (c: ExactDenseCase): Float32Array => productsBy(referenceExactOps, c);

export const kit: Kit<Spec, ExactDenseCase> = {
  name: "exact-dense",
  formula: "rn(Σ_k v_k w_k · 2^(e + f)) + bias",
  spec: fc.record({
    shape: fc.nat(3),
    dtype: fc.constantFrom("F32", "F16", "BF16"),
    x: exactRecipe,
    weight: exactRecipe,
    other: exactRecipe,
  }),
  boundaries: [
    ...[0, 1, 2].flatMap((shape) =>
      exactRecipes.flatMap((x, i) => [
        { shape, dtype: "F32" as const, x, weight: exactRecipes[(i + 5) % exactRecipes.length]!, other: exactRecipes[5]! },
        { shape, dtype: "F16" as const, x: exactRecipes[5]!, weight: x, other: exactRecipes[9]! },
      ]),
    ),
    { shape: 3, dtype: "F16", x: exactRecipes[9]!, weight: exactRecipes[5]!, other: exactRecipes[5]! },
    ...[0, 3].flatMap((shape) =>
      (["F32", "F16", "BF16"] as const).map((dtype) => {
        const usual = exactRecipes[5]!;
        return { shape, dtype, x: usual, weight: usual, other: usual, words: true as const };
      }),
    ),
  ],
  reach: [4, 5, 6, 7, 8].map((shape) => ({ shape, dtype: "F16", x: exactRecipes[5]!, weight: exactRecipes[5]!, other: exactRecipes[5]! })),
  make({ shape, dtype, x, weight, other, words }) {
    const { K, N, T, P, tile, bias, adds } = shapes[shape]!;
    return {
      T,
      P,
      tile,
      x: exactValues(x, T * K),
      weight: words ? anyWords(dtype, N, K) : denseMatrix(weight, dtype, N, K),
      bias: bias ? exactValues(other, N) : null,
      initial: adds ? exactValues({ ...other, seed: other.seed + 1 }, T * N) : null,
    };
  },
  ...equalWords<ExactDenseCase>(
    ({ T, weight }) => T * weight.outFeatures,
    (c) => wordsOf(result(c)),
  ),
};

/** int4 linears of `exact`: equality with the CPU, any binary16 scales, zero points and nibbles at their ends, biases, results that are added. */
import * as fc from "fast-check";
import { add } from "../../core/exact/numbers.ts";
import { type ExactOps, referenceExactOps } from "../../core/exact/ops.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Recipe, scaleKinds } from "../arbitraries.ts";
import { exactly, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import { halves } from "../cases/words.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  readonly other: Recipe;
}
export interface ExactAwqCase {
  readonly T: number;
  readonly P: 3 | 4;
  readonly tile: number;
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
  readonly bias: Float32Array | null;
  /** What the result is added to. */
  readonly initial: Float32Array | null;
}

/** Few shapes, since each is a pipeline on the GPU: one block, all that can vary, more blocks than lanes, and groups of no whole block. */
const shapes = [
  { K: 32, N: 8, group: 32, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 256, N: 24, group: 128, T: 5, P: 4, tile: 4, bias: true, adds: true },
  { K: 2112, N: 8, group: 64, T: 2, P: 3, tile: 4, bias: true, adds: false },
  { K: 1152, N: 56, group: 128, T: 1, P: 4, tile: 1, bias: true, adds: true },
  // More rows and columns than a tile of matrices has.
  { K: 384, N: 136, group: 128, T: 67, P: 3, tile: 4, bias: true, adds: true },
  { K: 8320, N: 8, group: 64, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 72, N: 16, group: 24, T: 3, P: 4, tile: 1, bias: true, adds: true },
  // Of models, for cases of reach: 112 groups, and outputs as many as a feed-forward network has.
  { K: 14_336, N: 8, group: 128, T: 1, P: 3, tile: 1, bias: true, adds: true },
  { K: 32, N: 14_336, group: 32, T: 1, P: 3, tile: 1, bias: true, adds: false },
  { K: 14_336, N: 8, group: 128, T: 5, P: 4, tile: 4, bias: true, adds: true },
] as const;

/** A case's result by these ops. */
export function productsBy(ops: Pick<ExactOps, "linear">, { T, P, x, weight, bias, initial }: ExactAwqCase): Float32Array {
  const out = new Float32Array(T * weight.outFeatures);
  ops.linear({ weight, bias })(out, x, T, P === 3 ? 24 : 32);
  return initial ? out.map((y, i) => add(initial[i]!, y)) : out;
}

const result = (c: ExactAwqCase): Float32Array => productsBy(referenceExactOps, c);

export const kit: Kit<Spec, ExactAwqCase> = {
  name: "exact-awq",
  formula: "rn(Σ_g S_g Σ_k v_k (q − z) · 2^(e − 24)) + bias",
  reference: { arithmetic: "f64", run: (c, out) => out.set(halves(wordsOf(result(c)))) },
  spec: fc.record({ shape: fc.nat(4), x: exactRecipe, weight: awqSpec, other: exactRecipe }),
  boundaries: [0, 1, 2, 3, 4].flatMap((shape) => [
    ...exactRecipes.map((x) => ({ shape, x, weight: usualAwq, other: exactRecipes[5]! })),
    ...scaleKinds.map((scales) => ({
      shape,
      x: exactRecipes[5]!,
      weight: { ...usualAwq, scales, q: "ends" as const },
      other: exactRecipes[9]!,
    })),
  ]),
  reach: [5, 6, 7, 8, 9].map((shape) => ({ shape, x: exactRecipes[5]!, weight: usualAwq, other: exactRecipes[5]! })),
  make({ shape, x, weight, other }) {
    const { K, N, group, T, P, tile, bias, adds } = shapes[shape]!;
    return {
      T,
      P,
      tile,
      x: exactValues(x, T * K),
      weight: awqMatrix(weight, K, N, group),
      bias: bias ? exactValues(other, N) : null,
      initial: adds ? exactValues({ ...other, seed: other.seed + 1 }, T * N) : null,
    };
  },
  length: ({ T, weight }) => 2 * T * weight.outFeatures,
  expected: (c) => exactly(wordsOf(result(c))),
  laws: [],
  refusals: [],
  dotLike: false,
};

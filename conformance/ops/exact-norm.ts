/** RMS norm of `exact`: equality with the CPU, eps of 0 and rows of zeros too. */
import * as fc from "fast-check";
import { rmsNorm } from "../../core/exact/norm.ts";
import { nearest } from "../../core/exact/numbers.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, leastMean, wordsOf } from "../cases/exact.ts";
import { ownRows, rowCase } from "../cases/exact-rows.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly D: number;
  readonly rows: number;
  readonly eps: number;
  readonly x: Recipe;
  readonly weight: Recipe;
  /** Instead of these one of exact-rows.ts. */
  readonly row?: number;
}
export interface ExactNormCase {
  readonly D: number;
  readonly rows: number;
  readonly eps: number;
  readonly x: Float32Array;
  readonly weight: Float32Array;
}

function normed({ D, rows, eps, x, weight }: ExactNormCase): Float32Array {
  const out = new Float32Array(rows * D);
  rmsNorm(out, x, weight, eps, rows);
  return out;
}

export const kit: Kit<Spec, ExactNormCase> = {
  name: "exact-norm",
  formula: "mul(mul(x, rsqrt(add(mul(rn(Σ v²), rn(1/D)), eps))), weight)",
  spec: fc.record({
    D: fc.constantFrom(1, 2, 40, 255, 256, 257, 1030, 4100),
    rows: fc.integer({ min: 1, max: 3 }),
    eps: fc.constantFrom(1e-5, 1e-6, 0),
    x: exactRecipe,
    weight: exactRecipe,
  }),
  boundaries: [
    ...exactRecipes.flatMap((x) => [0, 1e-5].map((eps) => ({ D: 300, rows: 2, eps, x, weight: exactRecipes[5]! }))),
    { ...leastMean, rows: 1, eps: 0, weight: exactRecipes[0]! },
    { D: 256, rows: 2, eps: 0, x: exactRecipes[5]!, weight: exactRecipes[5]! },
    ...ownRows.map((row) => ({ D: 4, rows: 1, eps: 0, x: exactRecipes[0]!, weight: exactRecipes[0]!, row })),
  ],
  reach: [
    { D: 8192, rows: 2 },
    { D: 16_384, rows: 1 },
    { D: 128, rows: 600 },
    // Heads of a chunk, past a dimension of workgroups: a root of each.
    { D: 2, rows: 33_000, eps: 0 },
  ].map((shape) => ({ eps: 1e-5, ...shape, x: exactRecipes[5]!, weight: exactRecipes[5]! })),
  make: ({ D, rows, eps, x, weight, row }) =>
    row === undefined ? { D, rows, eps: nearest(eps), x: exactValues(x, D * rows), weight: exactValues(weight, D) } : rowCase(row),
  ...equalWords<ExactNormCase>(
    ({ x }) => x.length,
    (c) => wordsOf(normed(c)),
  ),
};

/** RMS norm of `exact` as the digits that the next linear multiplies: equality with the CPU's norm and its integers. */
import * as fc from "fast-check";
import { rmsNorm } from "../../core/exact/norm.ts";
import { nearest } from "../../core/exact/numbers.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, leastMean } from "../cases/exact.ts";
import { ownRows, rowCase } from "../cases/exact-rows.ts";
import type { Kit } from "../kit.ts";
import { digitWords } from "./exact-digits.ts";
import type { ExactNormCase } from "./exact-norm.ts";

interface Spec extends Pick<ExactNormCase, "D" | "rows" | "eps"> {
  readonly x: Recipe;
  readonly weight: Recipe;
  /** Instead of these one of exact-rows.ts. */
  readonly row?: number;
}

function allWords({ D, rows, eps, x, weight }: ExactNormCase): Uint32Array {
  const normed = new Float32Array(rows * D);
  rmsNorm(normed, x, weight, eps, rows);
  const { digits, sums, exponents } = digitWords({ K: D, rows, P: 3, x: normed });
  return Uint32Array.from([...digits, ...sums, ...exponents]);
}

export const kit: Kit<Spec, ExactNormCase> = {
  name: "exact-norm-digits",
  formula: "rne(norm(x) · 2^−e) = Σ 256^p d_p",
  spec: fc.record({
    D: fc.constantFrom(1, 33, 256, 1100, 4100),
    rows: fc.integer({ min: 1, max: 3 }),
    eps: fc.constantFrom(1e-5, 1e-6, 0),
    x: exactRecipe,
    weight: exactRecipe,
  }),
  boundaries: [
    ...exactRecipes.flatMap((x, i) =>
      [0, 1e-5].map((eps) => ({ D: 300, rows: 2, eps, x, weight: exactRecipes[(i + 5) % exactRecipes.length]! })),
    ),
    { ...leastMean, rows: 1, eps: 0, weight: exactRecipes[0]! },
    { D: 1280, rows: 1, eps: 0, x: exactRecipes[5]!, weight: exactRecipes[5]! },
    { D: 256, rows: 2, eps: 0, x: exactRecipes[5]!, weight: exactRecipes[5]! },
    ...ownRows.map((row) => ({ D: 4, rows: 1, eps: 0, x: exactRecipes[0]!, weight: exactRecipes[0]!, row })),
  ],
  reach: [
    { D: 16_384, rows: 1 },
    { D: 8192, rows: 2 },
    { D: 128, rows: 600 },
    { D: 2, rows: 4000, eps: 0 },
  ].map((shape) => ({ eps: 1e-5, ...shape, x: exactRecipes[5]!, weight: exactRecipes[5]! })),
  make: ({ D, rows, eps, x, weight, row }) =>
    row === undefined ? { D, rows, eps: nearest(eps), x: exactValues(x, D * rows), weight: exactValues(weight, D) } : rowCase(row),
  ...equalWords<ExactNormCase>(({ D, rows }) => rows * (Math.ceil(D / 32) * 28 + 1), allWords),
};

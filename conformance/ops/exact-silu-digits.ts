/** silu(gate) · up of `exact` and its digits, four each: equality with the CPU. Numbers at edges: exact-silu-mul.ts, exact-digits.ts. */
import * as fc from "fast-check";
import { silu } from "../../core/exact/functions.ts";
import { mul } from "../../core/exact/numbers.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";
import { digitWords } from "./exact-digits.ts";

interface Spec {
  readonly K: number;
  readonly rows: number;
  readonly gate: Recipe;
  readonly up: Recipe;
}
export interface ExactSiluDigitsCase {
  readonly K: number;
  readonly rows: number;
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

function allWords({ K, rows, gate, up }: ExactSiluDigitsCase): Uint32Array {
  const x = gate.map((g, i) => mul(silu(g), up[i]!));
  const { digits, exponents } = digitWords({ K, rows, P: 4, x });
  return Uint32Array.from([...wordsOf(x), ...digits, ...exponents]);
}

/** Few shapes, since each is a pipeline on the GPU: a block, several, more than a word for each lane of a workgroup. */
const SHAPES = [32, 288, 1152] as const;

export const kit: Kit<Spec, ExactSiluDigitsCase> = {
  name: "exact-silu-digits",
  formula: "v = rne(mul(silu(gate), up) · 2^−e) = Σ 256^p d_p",
  spec: fc.record({ K: fc.constantFrom(...SHAPES), rows: fc.integer({ min: 1, max: 3 }), gate: exactRecipe, up: exactRecipe }),
  boundaries: SHAPES.flatMap((K) => exactRecipes.flatMap((gate) => exactRecipes.map((up) => ({ K, rows: 2, gate, up })))),
  reach: [
    { K: 14_336, rows: 2 },
    { K: 32, rows: 600 },
  ].map((shape) => ({ ...shape, gate: exactRecipes[5]!, up: exactRecipes[5]! })),
  make: ({ K, rows, gate, up }) => ({ K, rows, gate: exactValues(gate, K * rows), up: exactValues(up, K * rows) }),
  ...equalWords<ExactSiluDigitsCase>(({ K, rows }) => rows * (2 * K + 1), allWords),
};

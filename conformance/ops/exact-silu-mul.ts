/** silu(gate) · up of `exact`: equality with the CPU. */
import * as fc from "fast-check";
import { silu } from "../../core/exact/functions.ts";
import { mul } from "../../core/exact/numbers.ts";
import type { Recipe } from "../arbitraries.ts";
import { EDGE_ROWS, EDGES, edgePairs, equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly width: number;
  readonly rows: number;
  readonly gate: Recipe;
  readonly up: Recipe;
  /** Instead every number at an edge with every other, as many in a row as there are. */
  readonly edges?: true;
}
export interface ExactSiluMulCase {
  readonly width: number;
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

const products = ({ gate, up }: ExactSiluMulCase): Float32Array => gate.map((g, i) => mul(silu(g), up[i]!));

export const kit: Kit<Spec, ExactSiluMulCase> = {
  name: "exact-silu-mul",
  formula: "mul(silu(gate), up), silu by integers",
  spec: fc.record({ width: fc.constantFrom(1, 64, 65, 200), rows: fc.integer({ min: 1, max: 3 }), gate: exactRecipe, up: exactRecipe }),
  boundaries: [
    { width: EDGES, rows: EDGE_ROWS, gate: exactRecipes[0]!, up: exactRecipes[0]!, edges: true as const },
    ...exactRecipes.flatMap((gate) => exactRecipes.map((up) => ({ width: 64, rows: 1, gate, up }))),
  ],
  reach: [
    { width: 14_336, rows: 2 },
    { width: 136, rows: 600 },
  ].map((shape) => ({ ...shape, gate: exactRecipes[5]!, up: exactRecipes[5]! })),
  make({ width, rows, gate, up, edges }) {
    const { x, y } = edges ? edgePairs() : { x: exactValues(gate, width * rows), y: exactValues(up, width * rows) };
    return { width, gate: x, up: y };
  },
  ...equalWords<ExactSiluMulCase>(
    ({ gate }) => gate.length,
    (c) => wordsOf(products(c)),
  ),
};

/** Sums of `exact`: equality with the CPU, near cancellation too. */
import * as fc from "fast-check";
import { add, clean } from "../../core/exact/numbers.ts";
import type { Recipe } from "../arbitraries.ts";
import { EDGE_ROWS, EDGES, edgePairs, equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly width: number;
  readonly rows: number;
  readonly x: Recipe;
  readonly y: Recipe;
  /** y is −x, a few units of the last place off. */
  readonly near: boolean;
  /** Instead every number at an edge with every other, as many in a row as there are. */
  readonly edges?: true;
}
export interface ExactAddCase {
  readonly width: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
}

const sums = ({ x, y }: ExactAddCase): Float32Array => x.map((a, i) => add(a, y[i]!));

export const kit: Kit<Spec, ExactAddCase> = {
  name: "exact-add",
  formula: "rn(x + y)",
  spec: fc.record({
    width: fc.constantFrom(1, 63, 64, 65, 200),
    rows: fc.integer({ min: 1, max: 3 }),
    x: exactRecipe,
    y: exactRecipe,
    near: fc.boolean(),
  }),
  boundaries: [
    { width: EDGES, rows: EDGE_ROWS, x: exactRecipes[0]!, y: exactRecipes[0]!, near: false, edges: true as const },
    ...exactRecipes.flatMap((x) => exactRecipes.map((y) => ({ width: 64, rows: 1, x, y, near: x.kind === y.kind }))),
  ],
  reach: [
    { width: 14_336, rows: 6 },
    { width: 64, rows: 1100 },
  ].map((shape) => ({ ...shape, x: exactRecipes[5]!, y: exactRecipes[5]!, near: false })),
  make({ width, rows, x, y, near, edges: isEdges }) {
    if (isEdges) return { width, ...edgePairs() };
    const a = exactValues(x, width * rows);
    const words = wordsOf(a);
    const b = near
      ? Float32Array.from(words, (word, i) => clean(new Float32Array(Uint32Array.of((word ^ 0x80000000) + (i % 7) - 3).buffer)[0]!))
      : exactValues(y, width * rows);
    return { width, x: a, y: b };
  },
  ...equalWords<ExactAddCase>(
    ({ x }) => x.length,
    (c) => wordsOf(sums(c)),
  ),
};

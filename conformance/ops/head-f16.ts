/** The final norm and the head of one row, weights in f16. */
import fc from "fast-check";
import type { DenseMatrix } from "../../core/tensor.ts";
import { addTerm, denseElement, inverseRms, magnitude, makeExpected, makeTerms, scaledByRms, sumError, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe } from "../arbitraries.ts";
import { farHidden, makeRow, type NormedRow, type NormedSpec, normedBoundaries, normedSpec, rowKinds, shapeOf } from "../cases/fixed16.ts";
import { denseMatrix, farRows, sparseMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

export interface HeadCase extends NormedRow {
  /** [V, K] f16 */
  readonly weight: DenseMatrix;
}

/** Rows of the head for each shape: one, and both sides of a workgroup's 32, in two pieces. */
const headRows = [1, 36, 70, 130] as const;

interface Spec extends Omit<NormedSpec, "weight"> {
  readonly weight: Recipe;
  /** Rows of the head; those of the shape where absent. All but a few are zero then. */
  readonly V?: number;
}

export const kit: Kit<Spec, HeadCase> = {
  name: "head-f16",
  formula: "logits[v] = Σ_k (residual ∘ norm)[k] · W[v, k] / rms",
  spec: fc.record({
    shape: normedSpec.shape,
    residual: recipe(rowKinds),
    norm: normedSpec.norm,
    weight: recipe(["ones", "integers", "normal", "positive", "cancelling", "outliers"]),
  }),
  boundaries: normedBoundaries.map((spec) => ({ ...spec, weight: { ...plain, seed: 5 } })),
  reach: [
    { ...normedBoundaries[0]!, shape: farHidden, weight: { ...plain, seed: 5 } },
    { ...normedBoundaries[0]!, weight: { ...plain, seed: 5 }, V: 152_064 },
  ],
  make({ shape, residual, norm, weight, V }) {
    const K = shapeOf(shape).blocks * 32;
    const matrix = V ? sparseMatrix(weight, "F16", V, K, farRows(V)) : denseMatrix(weight, "F16", headRows[shape] ?? 33, K);
    return { ...makeRow(residual, norm, K), weight: matrix };
  },
  length: (c) => c.weight.outFeatures,
  expected(c) {
    const sums = makeExpected(c.weight.outFeatures);
    const K = c.scaled.length;
    for (let v = 0; v < sums.value.length; v++) {
      // A row of zeros gives zero.
      if (c.weight.data.subarray(v * K, (v + 1) * K).every((w) => w === 0)) continue;
      const terms = makeTerms();
      for (let k = 0; k < K; k++) addTerm(terms, c.scaled[k]!, denseElement(c.weight, v, k), wgsl);
      sums.value[v] = terms.sum;
      sums.bound[v] = magnitude(terms) < wgsl.max / 4 ? sumError(terms, wgsl) : Infinity;
    }
    return scaledByRms(sums, inverseRms(c.squares, K, c.eps, wgsl), wgsl);
  },
  laws: [],
  refusals: [],
  dotLike: true,
};

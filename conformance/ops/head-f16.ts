/** The final norm and the head of one row, weights in f16. */
import fc from "fast-check";
import type { DenseMatrix } from "../../core/tensor.ts";
import { addTerm, denseElement, inverseRms, magnitude, makeExpected, makeTerms, scaledByRms, sumError, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe } from "../arbitraries.ts";
import { makeRow, type NormedRow, type NormedSpec, normedBoundaries, normedSpec, rowKinds, shapes } from "../cases/fixed16.ts";
import { denseMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

export interface HeadCase extends NormedRow {
  /** [V, K] f16 */
  readonly weight: DenseMatrix;
}

/** Rows of the head for each shape: one, and both sides of a workgroup's 32, in two pieces. */
const headRows = [1, 36, 70, 130] as const;

export const kit: Kit<Omit<NormedSpec, "weight"> & { readonly weight: Recipe }, HeadCase> = {
  name: "head-f16",
  formula: "logits[v] = Σ_k (residual ∘ norm)[k] · W[v, k] / rms",
  spec: fc.record({
    shape: normedSpec.shape,
    residual: recipe(rowKinds),
    norm: normedSpec.norm,
    weight: recipe(["ones", "integers", "normal", "positive", "cancelling", "outliers"]),
  }),
  boundaries: normedBoundaries.map((spec) => ({ ...spec, weight: { ...plain, seed: 5 } })),
  make({ shape, residual, norm, weight }) {
    const K = shapes[shape]!.blocks * 32;
    return { ...makeRow(residual, norm, K), weight: denseMatrix(weight, "F16", headRows[shape]!, K) };
  },
  length: (c) => c.weight.outFeatures,
  expected(c) {
    const sums = makeExpected(c.weight.outFeatures);
    for (let v = 0; v < sums.value.length; v++) {
      const terms = makeTerms();
      for (let k = 0; k < c.scaled.length; k++) addTerm(terms, c.scaled[k]!, denseElement(c.weight, v, k), wgsl);
      sums.value[v] = terms.sum;
      sums.bound[v] = magnitude(terms) < wgsl.max / 4 ? sumError(terms, wgsl) : Infinity;
    }
    return scaledByRms(sums, inverseRms(c.squares, c.scaled.length, c.eps, wgsl), wgsl);
  },
  laws: [],
  refusals: [],
  dotLike: true,
};

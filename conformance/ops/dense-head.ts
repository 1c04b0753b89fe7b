/** The final norm and the head of one row, weights in each dtype. */
import * as fc from "fast-check";
import type { DenseMatrix } from "../../core/tensor.ts";
import { farHidden, makeRow, type NormedRow, type NormedSpec, normedBoundaries, normedSpec, shapeOf } from "../cases/fixed16.ts";
import { farRows, sparseMatrix } from "../cases/matrices.ts";
import { type DenseSpec, denseProduct, normed } from "../cases/products.ts";
import type { Kit } from "../kit.ts";

export interface HeadCase extends NormedRow {
  /** [V, K] */
  readonly weight: DenseMatrix;
}

/** Rows of the head for each shape: one, and both sides of a workgroup's 32, in two pieces. */
const headRows = [1, 36, 70, 130] as const;

interface Spec extends NormedSpec {
  readonly weight: DenseSpec;
  /** Rows of the head; those of the shape where absent. All but a few are zero then. */
  readonly V?: number;
}
const far = { ...normedBoundaries[0]!, weight: denseProduct.usual[0]! };

export const kit: Kit<Spec, HeadCase> = {
  name: "dense-head",
  formula: "logits[v] = Σ_k (residual ∘ norm)[k] · W[v, k] / rms",
  spec: fc.record({ ...normedSpec, weight: denseProduct.spec }),
  boundaries: normedBoundaries.flatMap((spec) => denseProduct.usual.map((weight) => ({ ...spec, weight }))),
  reach: [...denseProduct.usual.map((weight) => ({ ...far, weight, shape: farHidden })), { ...far, V: 152_064 }],
  make({ shape, residual, norm, weight, V }) {
    const { K } = shapeOf(shape);
    const { dtype, ...data } = weight;
    const matrix = V ? sparseMatrix(data, dtype, V, K, farRows(V)) : denseProduct.make(weight, K, headRows[shape] ?? 33, 0);
    return { ...makeRow(residual, norm, K), weight: matrix };
  },
  length: (c) => c.weight.outFeatures,
  expected: (c) => normed(denseProduct, c, c.weight, null),
  laws: [],
  refusals: [],
  dotLike: true,
};

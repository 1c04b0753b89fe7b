/** A linear in fixed16 that adds to the residual, and leaves the next input. */
import fc from "fast-check";
import { expectFixed16, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import {
  type Fixed16Case,
  type LinearSpec,
  linearBoundaries,
  linearReach,
  linearSpec,
  makeLinear,
  nearlyOne,
  quantized,
  rowKinds,
  rowLength,
  rowOf,
} from "../cases/fixed16.ts";
import { usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

const ones: Recipe = { kind: "ones", exponent: 0, seed: 1 };

export interface RowCase extends Fixed16Case {
  /** [N] */
  readonly norm: Float32Array;
}

export const kit: Kit<LinearSpec & { readonly norm: Recipe }, RowCase> = {
  name: "awq-add-fixed16",
  formula: "residual += x̂ · W; residual ∘ norm with its digits; Σ residual² a block",
  spec: fc
    .tuple(linearSpec, recipe(rowKinds))
    .map(([linear, norm]) => ({ ...linear, x: { ...linear.x, exponent: linear.x.exponent % 4 }, norm })),
  boundaries: [
    ...linearBoundaries.map((spec) => ({ ...spec, norm: { ...plain, seed: 4 } })),
    { shape: 0, N32: 2, x: { ...plain, kind: "zeros" }, weight: usualAwq, bias: nearlyOne, norm: ones },
  ],
  reach: linearReach.map((spec) => ({ ...spec, norm: { ...plain, seed: 4 } })),
  make: (spec) => ({ ...makeLinear(spec), norm: values(spec.norm, spec.N32 * 32) }),
  length: (c) => rowLength(c.weight.outFeatures),
  expected: (c) => rowOf(expectFixed16(quantized(c.x), c.weight, c.bias, wgsl), c.norm),
  laws: [],
  refusals: [],
  dotLike: false,
};

/** The kit of a linear of one row that adds to the residual, and leaves the next input, by any product. */
import * as fc from "fast-check";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Kit } from "../kit.ts";
import { farInputs, nearlyOne, rowKinds, rowLength, rowOf, shapeOf, shapes } from "./fixed16.ts";
import type { ProductCases } from "./products.ts";

const ones: Recipe = { kind: "ones", exponent: 0, seed: 1 };

interface AddSpec<S> {
  readonly shape: number;
  /** That of `outputs` where absent. */
  readonly N?: number;
  readonly x: Recipe;
  readonly weight: S;
  readonly residual: Recipe;
  readonly norm: Recipe;
}
/** N of each shape, whole blocks or not, and whether it has a bias: few, because each is a pipeline of its own. */
const outputs = [
  { N: 40, hasBias: false },
  { N: 96, hasBias: true },
  { N: 64, hasBias: false },
  { N: 88, hasBias: true },
] as const;

export interface AddCase<W> {
  /** [K] */
  readonly x: Float32Array;
  readonly weight: W;
  /** [N] */
  readonly residual: Float32Array;
  readonly bias: Float32Array | null;
  readonly norm: Float32Array;
}

export type AddKit<S, W> = Kit<AddSpec<S>, AddCase<W>>;

export const addKit = <S extends { readonly seed: number }, W extends AwqMatrix | DenseMatrix>(
  name: string,
  product: ProductCases<S, W>,
): AddKit<S, W> => ({
  name,
  formula: "residual += x · W + bias; residual ∘ norm with its digits; Σ residual² a block",
  spec: fc
    .record({
      shape: fc.nat(shapes.length - 1),
      x: recipe(undefined, 8),
      weight: product.spec,
      residual: recipe(rowKinds),
      norm: recipe(rowKinds),
    })
    .map((spec) => ({ ...spec, x: { ...spec.x, exponent: spec.x.exponent % 4 } })),
  boundaries: product.usual.flatMap((weight) => [
    ...shapes.map((_, shape) => ({ shape, x: plain, weight, residual: { ...plain, seed: 3 }, norm: { ...plain, seed: 4 } })),
    { shape: 2, x: { ...plain, kind: "zeros" as const }, weight, residual: nearlyOne, norm: ones },
    // Around the least step that digits have; and beyond what f32 holds.
    ...[-45, -44, -43].map((exponent) => ({
      ...{ shape: 2, x: { ...plain, kind: "zeros" as const }, weight },
      ...{ residual: { kind: "equal" as const, exponent, seed: 3 }, norm: { kind: "equal" as const, exponent: -44, seed: 4 } },
    })),
    {
      ...{ shape: 2, x: { ...plain, kind: "zeros" as const }, weight },
      ...{ residual: { kind: "oneHot" as const, exponent: 70, seed: 3 }, norm: { kind: "equal" as const, exponent: 70, seed: 4 } },
    },
  ]),
  // The widest inputs, one with as many outputs as 16 bits of words take; the widest residual stream.
  reach: product.usual.flatMap((weight) =>
    [...farInputs.map((shape, i) => ({ shape, N: i === 0 ? 32 : 256 })), { shape: 0, N: 8192 }].map((far) => {
      return { ...far, x: plain, weight, residual: { ...plain, seed: 3 }, norm: { ...plain, seed: 4 } };
    }),
  ),
  make({ shape, x, weight, residual, norm, N: far }) {
    const { K, group } = shapeOf(shape);
    const near = outputs[shape] ?? outputs[0];
    const N = far ?? near.N;
    const hasBias = far !== undefined || near.hasBias;
    return {
      x: values(x, K),
      weight: product.make(weight, K, N, group),
      residual: values(residual, N),
      norm: values(norm, N),
      bias: hasBias ? values({ ...residual, seed: residual.seed + 1 }, N) : null,
    };
  },
  length: (c) => rowLength(c.residual.length),
  expected: (c) => rowOf(product.expected(c.x, c.weight, c.residual, ...(c.bias ? [c.bias] : [])), c.norm),
  laws: [],
  refusals: [],
  dotLike: false,
});

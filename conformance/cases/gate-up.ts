/** The kit of norm, gate and up, and SiLU of one row, by any product. */
import * as fc from "fast-check";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { siluMulOf, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Kit } from "../kit.ts";
import { makeRow, type NormedRow, type NormedSpec, normedBoundaries, normedReach, normedSpec, rowKinds, shapeOf } from "./fixed16.ts";
import { normed, type ProductCases } from "./products.ts";

export interface GateUpCase<W> extends NormedRow {
  readonly gate: W;
  readonly up: W;
  readonly gateBias: Float32Array | null;
  readonly upBias: Float32Array | null;
}
type GateUpSpec<S> = NormedSpec & {
  readonly weight: S;
  readonly bias: Recipe;
  /** That of `outputs` where absent. */
  readonly F?: number;
};

export type GateUpKit<S, W> = Kit<GateUpSpec<S>, GateUpCase<W>>;

/** F of each shape, whole blocks and half a block more, and whether it has biases. */
const outputs = [
  { F: 32, hasBias: true },
  { F: 96, hasBias: false },
  { F: 48, hasBias: true },
  { F: 96, hasBias: false },
] as const;

export const gateUpKit = <S extends { readonly seed: number }, W extends AwqMatrix | DenseMatrix>(
  name: string,
  product: ProductCases<S, W>,
): GateUpKit<S, W> => ({
  name,
  formula: "h = silu(x · Wgate / rms + bias) · (x · Wup / rms + bias)",
  spec: fc.record({ ...normedSpec, weight: product.spec, bias: recipe(rowKinds) }),
  boundaries: product.usual.flatMap((weight) => normedBoundaries.map((spec) => ({ ...spec, weight, bias: { ...plain, seed: 6 } }))),
  reach: product.usual.flatMap((weight) =>
    [...normedReach, { ...normedBoundaries[0]!, F: 14_336 }].map((far) => ({ ...far, weight, bias: { ...plain, seed: 6 } })),
  ),
  make({ shape, residual, norm, weight, bias, F: far }) {
    const { K, group } = shapeOf(shape);
    const { hasBias, ...near } = outputs[shape] ?? outputs[0];
    const F = far ?? near.F;
    const matrix = (seed: number): W => product.make({ ...weight, seed }, K, F, group);
    return {
      ...makeRow(residual, norm, K),
      gate: matrix(weight.seed),
      up: matrix(weight.seed + 7),
      gateBias: hasBias ? values(bias, F) : null,
      upBias: hasBias ? values({ ...bias, seed: bias.seed + 1 }, F) : null,
    };
  },
  length: (c) => c.gate.outFeatures,
  expected: (c) => siluMulOf(normed(product, c, c.gate, c.gateBias), normed(product, c, c.up, c.upBias), wgsl),
  laws: [],
  refusals: [],
  dotLike: false,
});

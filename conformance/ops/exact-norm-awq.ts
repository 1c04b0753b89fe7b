/** An int4 linear of `exact` behind an RMS norm, one row: equality with the CPU's norm and linear. */
import * as fc from "fast-check";
import { exactAwq, linear } from "../../core/exact/linear.ts";
import { rmsNorm } from "../../core/exact/norm.ts";
import { add, nearest } from "../../core/exact/numbers.ts";
import { columnOfNibble } from "../../core/quant/awq-format.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { ownRows, rowCase } from "../cases/exact-rows.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly x: Recipe;
  readonly scale: Recipe;
  readonly eps: number;
  readonly weight: AwqSpec;
  readonly other: Recipe;
  /** Instead of these one of exact-rows.ts, by a matrix that gives each number of its norm. */
  readonly row?: number;
}
export interface ExactNormAwqCase {
  readonly x: Float32Array;
  readonly scale: Float32Array;
  readonly eps: number;
  readonly weight: AwqMatrix;
  readonly bias: Float32Array | null;
  /** What the result is added to. */
  readonly initial: Float32Array | null;
}

/** Few shapes, since each is a pipeline on the GPU: one block, units that lanes share unevenly, more items and quads than lanes hold one of. */
const shapes = [
  { K: 32, N: 8, group: 32, bias: false, adds: false },
  { K: 1152, N: 56, group: 128, bias: true, adds: true },
  { K: 4160, N: 8, group: 64, bias: false, adds: true },
  // Of models, for cases of reach: several rounds of outputs, more than 256 blocks, 64 groups.
  { K: 8832, N: 2_400, group: 128, bias: true, adds: false },
] as const;

function result({ x, scale, eps, weight, bias, initial }: ExactNormAwqCase): Float32Array {
  const normed = new Float32Array(x.length);
  rmsNorm(normed, x, scale, eps, 1);
  const out = new Float32Array(weight.outFeatures);
  linear(out, normed, { weight: exactAwq(weight), bias }, 1, 24);
  return initial ? out.map((y, i) => add(initial[i]!, y)) : out;
}

/** K rows of which each takes one number as it is. */
const identity = (K: number): AwqMatrix => ({
  ...awqMatrix({ q: "eights", z: "eights", scales: "one", seed: 1 }, K, K, 32),
  qweight: Int32Array.from({ length: (K * K) / 8 }, (_, i) => {
    const k = Math.floor((8 * i) / K);
    const nibble = columnOfNibble.indexOf(k - ((8 * i) % K));
    return nibble < 0 ? 0x88888888 : 0x88888888 + 2 ** (4 * nibble);
  }),
});

/** A row of exact-rows.ts with zeros behind it: as many numbers times a power of four as it has, so that its mean and its norm stay what they are. */
function ownRow(row: number): ExactNormAwqCase {
  const { D, eps, x, weight } = rowCase(row);
  const times = D < 32 ? 16 : 1;
  const K = D * times;
  const [wide, scale] = [new Float32Array(K), new Float32Array(K).fill(1)];
  wide.set(x.map((v) => v * Math.sqrt(times)));
  scale.set(weight.map((w) => w / Math.sqrt(times)));
  return { x: wide, scale, eps, weight: identity(K), bias: null, initial: null };
}

export const kit: Kit<Spec, ExactNormAwqCase> = {
  name: "exact-norm-awq",
  formula: "linear(norm(x))",
  spec: fc.record({
    shape: fc.nat(2),
    x: exactRecipe,
    scale: exactRecipe,
    eps: fc.constantFrom(1e-5, 1e-6, 0),
    weight: awqSpec,
    other: exactRecipe,
  }),
  boundaries: [
    ...[0, 1, 2].flatMap((shape) =>
      exactRecipes.map((x, i) => ({
        shape,
        x,
        scale: exactRecipes[(i + 5) % exactRecipes.length]!,
        eps: i % 2 === 0 ? 1e-5 : 0,
        weight: usualAwq,
        other: exactRecipes[5]!,
      })),
    ),
    ...ownRows.map((row) => ({
      ...{ shape: 0, x: exactRecipes[0]!, scale: exactRecipes[0]!, eps: 0, weight: usualAwq, other: exactRecipes[5]!, row },
    })),
  ],
  reach: [{ shape: 3, x: exactRecipes[5]!, scale: exactRecipes[5]!, eps: 1e-5, weight: usualAwq, other: exactRecipes[5]! }],
  make({ shape, x, scale, eps, weight, other, row }) {
    if (row !== undefined) return ownRow(row);
    const { K, N, group, bias, adds } = shapes[shape]!;
    return {
      x: exactValues(x, K),
      scale: exactValues(scale, K),
      eps: nearest(eps),
      weight: awqMatrix(weight, K, N, group),
      bias: bias ? exactValues(other, N) : null,
      initial: adds ? exactValues({ ...other, seed: other.seed + 1 }, N) : null,
    };
  },
  ...equalWords<ExactNormAwqCase>(
    ({ weight }) => weight.outFeatures,
    (c) => wordsOf(result(c)),
  ),
};

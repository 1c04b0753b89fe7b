/** gate_proj and up_proj of `exact` with silu(gate) · up, one row: equality with the CPU. */
import * as fc from "fast-check";
import { silu } from "../../core/exact/functions.ts";
import { exactAwq, linear } from "../../core/exact/linear.ts";
import { mul } from "../../core/exact/numbers.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Recipe, scaleKinds } from "../arbitraries.ts";
import { EDGE_ROWS, EDGES, edgePairs, equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly x: Recipe;
  readonly gate: AwqSpec;
  readonly up: AwqSpec;
  readonly bias: Recipe;
}
export interface ExactGateUpCase {
  readonly x: Float32Array;
  readonly gate: AwqMatrix;
  readonly up: AwqMatrix;
  /** Of gate, then of up. */
  readonly bias: Float32Array | null;
}

/** Few shapes, since each is a pipeline on the GPU: one block, and more rows and blocks than a workgroup's. */
const shapes = [
  { K: 32, N: 8, group: 32, bias: false },
  { K: 1408, N: 40, group: 128, bias: true },
  // Of models, for cases of reach.
  { K: 8192, N: 8, group: 64, bias: false },
  { K: 32, N: 28_672, group: 32, bias: true },
  // Biases at every edge with every other, of a row of zeros.
  { K: 32, N: 8 * Math.ceil((EDGES * EDGE_ROWS) / 8), group: 32, bias: true },
] as const;
export const EDGES_SHAPE = 4;

function edgeBiases(N: number): Float32Array {
  const { x, y } = edgePairs();
  const bias = new Float32Array(2 * N);
  bias.set(x);
  bias.set(y, N);
  return bias;
}

/** mul(silu(linear(x, gate)), linear(x, up)) [N]. */
export function products({ x, gate, up, bias }: ExactGateUpCase): Float32Array {
  const N = gate.outFeatures;
  const [g, u] = [gate, up].map((weight, i) => {
    const out = new Float32Array(N);
    linear(out, x, { weight: exactAwq(weight), bias: bias?.subarray(i * N, (i + 1) * N) ?? null }, 1, 24);
    return out;
  });
  return g!.map((y, n) => mul(silu(y), u![n]!));
}

export const kit: Kit<Spec, ExactGateUpCase> = {
  name: "exact-gate-up",
  formula: "mul(silu(linear(x, gate)), linear(x, up))",
  spec: fc.record({ shape: fc.nat(1), x: exactRecipe, gate: awqSpec, up: awqSpec, bias: exactRecipe }),
  boundaries: [0, 1].flatMap((shape) => [
    ...exactRecipes.map((x) => ({ shape, x, gate: usualAwq, up: usualAwq, bias: exactRecipes[5]! })),
    ...scaleKinds.map((scales) => ({
      shape,
      x: exactRecipes[5]!,
      gate: { ...usualAwq, scales, q: "ends" as const },
      up: usualAwq,
      bias: exactRecipes[9]!,
    })),
    ...(shape === 0 ? [{ shape: EDGES_SHAPE, x: exactRecipes[2]!, gate: usualAwq, up: usualAwq, bias: exactRecipes[2]! }] : []),
  ]),
  reach: [2, 3].map((shape) => ({ shape, x: exactRecipes[5]!, gate: usualAwq, up: usualAwq, bias: exactRecipes[5]! })),
  make({ shape, x, gate, up, bias }) {
    const { K, N, group, ...given } = shapes[shape]!;
    const upSpec = { ...up, seed: up.seed + 1 };
    return {
      x: exactValues(x, K),
      gate: awqMatrix(gate, K, N, group),
      up: awqMatrix(upSpec, K, N, group),
      bias: shape === EDGES_SHAPE ? edgeBiases(N) : given.bias ? exactValues(bias, 2 * N) : null,
    };
  },
  ...equalWords<ExactGateUpCase>(
    ({ gate }) => gate.outFeatures,
    (c) => wordsOf(products(c)),
  ),
};

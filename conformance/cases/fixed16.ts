/**
 * What the kits of the fixed16 decode kernels share: shapes, one row (T = 1) and its linear, and what a kernel leaves for the next.
 * Where a kernel leaves digits, these are compared, exactly, with the CPU's quantization of the f32 row it leaves.
 */
import fc from "fast-check";
import { type Fixed16, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Expected, expectFixed16, inverseRms, makeExpected, scaledByRms, wgsl } from "../accuracy.ts";
import { type DataKind, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "./matrices.ts";

/** Kinds whose squares stay in range: what a residual stream may hold. */
export const rowKinds: readonly DataKind[] = [
  "ones",
  "integers",
  "zeros",
  "equal",
  "oneHot",
  "normal",
  "positive",
  "cancelling",
  "outliers",
];
/** 0.99818 everywhere: above 127/128 of a power of two, so that the step of its block is the next larger one. */
export const nearlyOne: Recipe = { kind: "equal", exponent: 0, seed: 351 };
/**
 * Widths in blocks of 32, and blocks a group: one lane's block, a team's turn and one block more, two turns and more. Few, because
 * each is a pipeline of its own: the shape is an override of these kernels.
 */
export const shapes = [
  { blocks: 1, groupBlocks: 1 },
  { blocks: 8, groupBlocks: 4 },
  { blocks: 33, groupBlocks: 1 },
  { blocks: 66, groupBlocks: 2 },
] as const;
/**
 * Widths of models, for cases of reach: SOLAR's down_proj in 112 groups and in 448, a hidden size of 8192. No more, since each
 * compiles for seconds in software.
 */
export const farShapes = [
  { blocks: 448, groupBlocks: 4 },
  { blocks: 448, groupBlocks: 1 },
  { blocks: 256, groupBlocks: 4 },
] as const;
/** The widest K that subjects cut into teams of their own choice. */
export const MOST_BY_HAND = 2112;

/** Of either list; those of models come after the others. */
export const shapeOf = (shape: number): { readonly blocks: number; readonly groupBlocks: number } => [...shapes, ...farShapes][shape]!;
/** Of `farShapes`, for shapeOf: those of down_proj, and the hidden size. */
export const farInputs: readonly number[] = [shapes.length, shapes.length + 1];
export const farHidden: number = shapes.length + 2;

export const quantized = (x: Float32Array): Fixed16 => quantizeFixed16(x, 1, x.length);

export interface LinearSpec {
  readonly shape: number;
  readonly N32: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  readonly bias: Recipe;
}
export interface Fixed16Case {
  /** [K] */
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
  /** [N]: the bias, or the residual that is added to. */
  readonly bias: Float32Array;
}

export const linearSpec: fc.Arbitrary<LinearSpec> = fc.record({
  shape: fc.nat(shapes.length - 1),
  N32: fc.integer({ min: 1, max: 3 }),
  x: recipe(undefined, 8),
  weight: awqSpec,
  bias: recipe(rowKinds),
});
export const linearBoundaries: readonly LinearSpec[] = shapes.flatMap((_, shape) =>
  [1, 2, 3].map((N32) => ({ shape, N32, x: plain, weight: usualAwq, bias: { ...plain, seed: 3 } })),
);

/** Models' widths, and outputs as many as theirs. */
export const linearReach: readonly LinearSpec[] = [
  ...farInputs.map((shape) => ({ shape, N32: 1, x: plain, weight: usualAwq, bias: { ...plain, seed: 3 } })),
  ...[256, 448].map((N32) => ({ shape: 0, N32, x: plain, weight: usualAwq, bias: { ...plain, seed: 3 } })),
];

export function makeLinear({ shape, N32, x, weight, bias }: LinearSpec): Fixed16Case {
  const { blocks, groupBlocks } = shapeOf(shape);
  const K = blocks * 32;
  const N = N32 * 32;
  return { x: values(x, K), weight: awqMatrix(weight, K, N, groupBlocks * 32), bias: values(bias, N) };
}

/** [residual N, residual ∘ norm N, Σ residual² N/32, digits that differ from the CPU's of the second]. */
export const rowLength = (N: number): number => 2 * N + N / 32 + 1;

/** Adds to a residual's expectation what goes with it. */
export function rowOf(residual: Expected, norm: Float32Array): Expected {
  const N = norm.length;
  const e = makeExpected(rowLength(N));
  e.value.set(residual.value);
  e.bound.set(residual.bound);
  for (let n = 0; n < N; n++) {
    const [r, er, w] = [residual.value[n]!, residual.bound[n]!, norm[n]!];
    e.value[N + n] = r * w;
    e.bound[N + n] = er * Math.abs(w) * (1 + wgsl.u) + Math.abs(r * w) * wgsl.u + wgsl.eta;
  }
  for (let b = 0; b < N / 32; b++) {
    let [sum, error] = [0, 0];
    for (let n = 32 * b; n < 32 * (b + 1); n++) {
      const [r, er] = [Math.abs(residual.value[n]!), residual.bound[n]!];
      sum += r * r;
      error += (2 * r + er) * er;
    }
    e.value[2 * N + b] = sum;
    e.bound[2 * N + b] = error + (sum + error) * 33 * wgsl.u * (1 + 2 ** -10) + 64 * wgsl.eta;
  }
  return e;
}

export interface NormedSpec {
  readonly shape: number;
  readonly residual: Recipe;
  readonly norm: Recipe;
  readonly weight: AwqSpec;
}
/** A row as `awq-add-fixed16` leaves it. */
export interface NormedRow {
  readonly eps: number;
  /** [K] residual ∘ norm */
  readonly scaled: Float32Array;
  /** [K/32] Σ residual² of each block */
  readonly squares: Float32Array;
}
const EPS = Math.fround(1e-5);
export const normedSpec: {
  readonly shape: fc.Arbitrary<number>;
  readonly residual: fc.Arbitrary<Recipe>;
  readonly norm: fc.Arbitrary<Recipe>;
  readonly weight: fc.Arbitrary<AwqSpec>;
} = {
  shape: fc.nat(shapes.length - 1),
  residual: recipe([...rowKinds, "tiny"]),
  norm: recipe(["ones", "integers", "normal", "positive"]),
  weight: awqSpec,
};
export const normedBoundaries: readonly NormedSpec[] = shapes.map((_, shape) => ({
  shape,
  residual: plain,
  norm: { ...plain, seed: 2 },
  weight: usualAwq,
}));

export const normedReach: readonly NormedSpec[] = [{ ...normedBoundaries[0]!, shape: farHidden }];

export function makeRow(residual: Recipe, norm: Recipe, K: number): NormedRow {
  const [r, w] = [values(residual, K), values(norm, K)];
  const squares = new Float32Array(K / 32);
  for (let b = 0; b < K / 32; b++) squares[b] = r.subarray(32 * b, 32 * (b + 1)).reduce((sum, x) => sum + x * x, 0);
  return { eps: EPS, scaled: r.map((x, k) => x * w[k]!), squares };
}

/** x̂ · W / rms of each row of `weight`. */
export const normed = (c: NormedRow, weight: AwqMatrix): Expected =>
  scaledByRms(expectFixed16(quantized(c.scaled), weight, null, wgsl), inverseRms(c.squares, c.scaled.length, c.eps, wgsl), wgsl);

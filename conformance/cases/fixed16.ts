/**
 * What the kits of the fixed16 decode kernels share: shapes, one row (T = 1) and its linear, and what a kernel leaves for the next.
 * Where a kernel leaves digits, these are compared, exactly, with the CPU's quantization of the f32 row it leaves.
 */
import * as fc from "fast-check";
import { type Fixed16, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { blocksOf } from "../../gpu/wgsl/fixed16.ts";
import { type Expected, F32_MAX, makeExpected, wgsl } from "../accuracy.ts";
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
 * Widths and what shares a scale: a block and a quarter, whole; a team's turn; one block more, two turns and more. Few, because
 * each is a pipeline of its own: the shape is an override of these kernels.
 */
export const shapes = [
  { K: 40, group: 40 },
  { K: 256, group: 128 },
  { K: 1056, group: 32 },
  { K: 2112, group: 64 },
] as const;
/**
 * Widths of models, for cases of reach: SOLAR's down_proj in 112 groups and in 448, a hidden size of 8192. No more, since each
 * compiles for seconds in software.
 */
export const farShapes = [
  { K: 14_336, group: 128 },
  { K: 14_336, group: 32 },
  { K: 8192, group: 128 },
] as const;
/** The widest K that subjects cut into teams of their own choice. */
export const MOST_BY_HAND = 2112;

/** Of either list; those of models come after the others. */
export const shapeOf = (shape: number): { readonly K: number; readonly group: number } => [...shapes, ...farShapes][shape]!;
/** Of `farShapes`, for shapeOf: those of down_proj, and the hidden size. */
export const farInputs: readonly number[] = [shapes.length, shapes.length + 1];
export const farHidden: number = shapes.length + 2;

/** A row quantized, the last block filled up with zeros. */
export function quantized(x: Float32Array): Fixed16 {
  const whole = new Float32Array(32 * blocksOf(x.length));
  whole.set(x);
  return quantizeFixed16(whole, 1, whole.length);
}

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
  // The CPU op takes whole blocks.
  const { K, group } = shape === 0 ? { K: 32, group: 32 } : shapeOf(shape);
  const N = N32 * 32;
  return { x: values(x, K), weight: awqMatrix(weight, K, N, group), bias: values(bias, N) };
}

/** [residual N, residual ∘ norm N, Σ residual² of each block, digits that differ from the CPU's of the second]. */
export const rowLength = (N: number): number => 2 * N + blocksOf(N) + 1;

/** The bound of a number that f32 may not hold: none. */
const held = (value: number, bound: number): number => (Math.abs(value) + bound > F32_MAX ? Infinity : bound);

/** Adds to a residual's expectation what goes with it. */
export function rowOf(residual: Expected, norm: Float32Array): Expected {
  const N = norm.length;
  const e = makeExpected(rowLength(N));
  e.value.set(residual.value);
  e.bound.set(residual.bound);
  for (let n = 0; n < N; n++) {
    const [r, er, w] = [residual.value[n]!, residual.bound[n]!, norm[n]!];
    e.value[N + n] = r * w;
    e.bound[N + n] = held(r * w, er * Math.abs(w) * (1 + wgsl.u) + Math.abs(r * w) * wgsl.u + wgsl.eta);
  }
  for (let b = 0; b < blocksOf(N); b++) {
    let [sum, error] = [0, 0];
    for (let n = 32 * b; n < Math.min(N, 32 * (b + 1)); n++) {
      const [r, er] = [Math.abs(residual.value[n]!), residual.bound[n]!];
      sum += r * r;
      error += (2 * r + er) * er;
    }
    e.value[2 * N + b] = sum;
    e.bound[2 * N + b] = held(sum, error + (sum + error) * 33 * wgsl.u * (1 + 2 ** -10) + 64 * wgsl.eta);
  }
  return e;
}

export interface NormedSpec {
  readonly shape: number;
  readonly residual: Recipe;
  readonly norm: Recipe;
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
} = {
  shape: fc.nat(shapes.length - 1),
  residual: recipe([...rowKinds, "tiny"]),
  norm: recipe(["ones", "integers", "normal", "positive"]),
};
export const normedBoundaries: readonly NormedSpec[] = shapes.map((_, shape) => ({
  shape,
  residual: plain,
  norm: { ...plain, seed: 2 },
}));

export const normedReach: readonly NormedSpec[] = [{ ...normedBoundaries[0]!, shape: farHidden }];

export function makeRow(residual: Recipe, norm: Recipe, K: number): NormedRow {
  const [r, w] = [values(residual, K), values(norm, K)];
  const squares = new Float32Array(blocksOf(K));
  for (let b = 0; b < blocksOf(K); b++) squares[b] = r.subarray(32 * b, 32 * (b + 1)).reduce((sum, x) => sum + x * x, 0);
  return { eps: EPS, scaled: r.map((x, k) => x * w[k]!), squares };
}

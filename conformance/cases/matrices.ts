/** Weights of every storage, made from recipes. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import {
  bf16Bits,
  finiteF16Bits,
  type NibbleKind,
  nibbleKinds,
  nibbleWords,
  type Recipe,
  type ScaleKind,
  scaleBits,
  scaleKinds,
  values,
} from "../arbitraries.ts";

/** Numbers as `dtype` stores them. */
const stored = (wide: Float32Array, dtype: FloatDType): Float32Array | Uint16Array =>
  dtype === "F32" ? wide : Uint16Array.from(wide, dtype === "F16" ? finiteF16Bits : bf16Bits);

/** A dense matrix [N, K] of a recipe, stored as `dtype`. */
export function denseMatrix(data: Recipe, dtype: FloatDType, N: number, K: number): DenseMatrix {
  return { kind: "dense", dtype, outFeatures: N, inFeatures: K, data: stored(values(data, N * K), dtype) };
}

/** The same of zeros, but for some rows: as many as a vocabulary has, at the price of a few. */
export function sparseMatrix(data: Recipe, dtype: FloatDType, N: number, K: number, rows: readonly number[]): DenseMatrix {
  const all = dtype === "F32" ? new Float32Array(N * K) : new Uint16Array(N * K);
  for (const n of rows) all.set(stored(values({ ...data, seed: data.seed + n }, K), dtype), n * K);
  return { kind: "dense", dtype, outFeatures: N, inFeatures: K, data: all };
}

/** Rows of a table of N: both ends, both sides of where 16 and 17 bits end, and some between. */
export const farRows = (N: number): number[] =>
  [...new Set([0, 1, 1023, 1024, 32_000, 65_535, 65_536, 65_537, 131_071, 131_072, N - 2, N - 1])].filter((n) => n >= 0 && n < N);

/** An AWQ matrix as nibble and scale kinds. */
export interface AwqSpec {
  readonly q: NibbleKind;
  readonly z: NibbleKind;
  readonly scales: ScaleKind;
  readonly seed: number;
}
export const awqSpec: fc.Arbitrary<AwqSpec> = fc.record({
  q: fc.constantFrom(...nibbleKinds),
  z: fc.constantFrom(...nibbleKinds),
  scales: fc.constantFrom(...scaleKinds),
  seed: fc.nat(0xffff),
});

/** Random nibbles and zero points, scales as checkpoints have them. */
export const usualAwq: AwqSpec = { q: "random", z: "random", scales: "usual", seed: 1 };

export const awqMatrix = (spec: AwqSpec, K: number, N: number, groupSize: number): AwqMatrix => ({
  kind: "awq",
  inFeatures: K,
  outFeatures: N,
  groupSize,
  qweight: nibbleWords(spec.q, spec.seed, (K * N) / 8),
  qzeros: nibbleWords(spec.z, spec.seed + 1, ((K / groupSize) * N) / 8),
  scales: scaleBits(spec.scales, spec.seed + 2, (K / groupSize) * N),
});

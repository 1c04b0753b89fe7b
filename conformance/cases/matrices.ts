/** Weights of every storage, made from recipes. */
import fc from "fast-check";
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

/** A dense matrix [N, K] of a recipe, stored as `dtype`. */
export function denseMatrix(data: Recipe, dtype: FloatDType, N: number, K: number): DenseMatrix {
  const wide = values(data, N * K);
  const stored = dtype === "F32" ? wide : Uint16Array.from(wide, dtype === "F16" ? finiteF16Bits : bf16Bits);
  return { kind: "dense", dtype, outFeatures: N, inFeatures: K, data: stored };
}

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

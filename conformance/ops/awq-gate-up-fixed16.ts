/** Norm, gate and up in fixed16, and SiLU. */
import fc from "fast-check";
import type { AwqMatrix } from "../../core/tensor.ts";
import { siluMulOf, wgsl } from "../accuracy.ts";
import { makeRow, type NormedRow, type NormedSpec, normed, normedBoundaries, normedSpec, shapes } from "../cases/fixed16.ts";
import { awqMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

export interface GateUpCase extends NormedRow {
  readonly gate: AwqMatrix;
  readonly up: AwqMatrix;
}

export const kit: Kit<NormedSpec, GateUpCase> = {
  name: "awq-gate-up-fixed16",
  formula: "h = silu(x̂ · Wgate / rms) · (x̂ · Wup / rms)",
  spec: fc.record(normedSpec),
  boundaries: normedBoundaries,
  make(spec) {
    const { blocks, groupBlocks } = shapes[spec.shape]!;
    const [K, F] = [blocks * 32, spec.shape % 2 ? 96 : 32];
    const matrix = (seed: number): AwqMatrix => awqMatrix({ ...spec.weight, seed }, K, F, groupBlocks * 32);
    return { ...makeRow(spec.residual, spec.norm, K), gate: matrix(spec.weight.seed), up: matrix(spec.weight.seed + 7) };
  },
  length: (c) => c.gate.outFeatures,
  expected: (c) => siluMulOf(normed(c, c.gate), normed(c, c.up), wgsl),
  laws: [],
  refusals: [],
  dotLike: false,
};

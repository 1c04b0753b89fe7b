/** Norm, gate and up in fixed16, and SiLU. */
import fc from "fast-check";
import type { AwqMatrix } from "../../core/tensor.ts";
import { siluMulOf, wgsl } from "../accuracy.ts";
import {
  makeRow,
  type NormedRow,
  type NormedSpec,
  normed,
  normedBoundaries,
  normedReach,
  normedSpec,
  shapeOf,
  shapes,
} from "../cases/fixed16.ts";
import { awqMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

export interface GateUpCase extends NormedRow {
  readonly gate: AwqMatrix;
  readonly up: AwqMatrix;
}

interface Spec extends NormedSpec {
  /** 32 or 96 where absent. */
  readonly F?: number;
}

export const kit: Kit<Spec, GateUpCase> = {
  name: "awq-gate-up-fixed16",
  formula: "h = silu(x̂ · Wgate / rms) · (x̂ · Wup / rms)",
  spec: fc.record(normedSpec),
  boundaries: normedBoundaries,
  reach: [...normedReach, { ...normedBoundaries[0]!, F: 14_336 }],
  make(spec) {
    const { blocks, groupBlocks } = shapeOf(spec.shape);
    const { F = spec.shape < shapes.length && spec.shape % 2 ? 96 : 32 } = spec;
    const K = blocks * 32;
    const matrix = (seed: number): AwqMatrix => awqMatrix({ ...spec.weight, seed }, K, F, groupBlocks * 32);
    return { ...makeRow(spec.residual, spec.norm, K), gate: matrix(spec.weight.seed), up: matrix(spec.weight.seed + 7) };
  },
  length: (c) => c.gate.outFeatures,
  expected: (c) => siluMulOf(normed(c, c.gate), normed(c, c.up), wgsl),
  laws: [],
  refusals: [],
  dotLike: false,
};

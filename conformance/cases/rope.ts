/** Rotary embeddings of every scaling, up to the last position of a long context: tables of which only the rows in use are filled. */
import type { RopeScaling } from "../../core/config.ts";
import { type RopeTables, ropeRows } from "../../core/ops/rope.ts";
import type { Rotation } from "../accuracy.ts";

/** Scalings as released checkpoints have them, and one that cuts YaRN's ramp at no whole pair. */
export type ScalingName = "none" | "linear" | "dynamic" | "llama3" | "yarn" | "yarnCut";
export const scalings: Readonly<Record<ScalingName, RopeScaling>> = {
  none: { type: "none" },
  linear: { type: "linear", factor: 4 },
  dynamic: { type: "dynamic", factor: 2, originalMaxPositionEmbeddings: 4096 },
  llama3: { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192 },
  yarn: {
    type: "yarn",
    factor: 4,
    originalMaxPositionEmbeddings: 32_768,
    betaFast: 32,
    betaSlow: 1,
    attentionFactor: 0.1 * Math.log(4) + 1,
    truncate: true,
  },
  yarnCut: {
    type: "yarn",
    factor: 40,
    originalMaxPositionEmbeddings: 4096,
    betaFast: 32,
    betaSlow: 1,
    attentionFactor: 1,
    truncate: false,
  },
};
export const scalingNames: readonly ScalingName[] = Object.keys(scalings) as ScalingName[];

/** Positions up to which a table is filled whole: laws compare positions with one another. */
const WHOLE = 2048;

export interface Rotated {
  readonly rotation: Rotation;
  /** As core makes them, of `positions` positions: what a subject reads. */
  readonly tables: RopeTables;
}

/** @param maxContext what dynamic scaling is resolved for; `positions` where it is not given */
export function rotated(
  headDim: number,
  theta: number,
  scaling: ScalingName,
  start: number,
  positions: number,
  maxContext: number = positions,
): Rotated {
  const rotation = { headDim, theta, scaling: scalings[scaling], maxContext };
  const halfDim = headDim / 2;
  const tables = { halfDim, cos: new Float64Array(positions * halfDim), sin: new Float64Array(positions * halfDim) };
  const config = { headDim, ropeTheta: theta, ropeScaling: rotation.scaling, maxPositionEmbeddings: positions };
  const from = positions > WHOLE ? start : 0;
  const rows = ropeRows(config, from, positions - from, maxContext);
  tables.cos.set(rows.cos, from * halfDim);
  tables.sin.set(rows.sin, from * halfDim);
  return { rotation, tables };
}

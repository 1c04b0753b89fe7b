/**
 * out[t, f] = f16(silu(g) · u) in eights, g and u the products of row t with rows f and F + f of repacked int4 weights [2F, K], plus biases
 * (wgsl/gate-up-end.ts), for some hundred rows: awq-prefill-f16-matrix.ts in one piece (wgsl/matrix-tile.ts), of every 32 columns 16 of gate and
 * the same 16 of up. x and out have room for T rounded up to 128 rows; rows after T come out of whatever x holds there. F % 16 = 0, K % 64 = 0,
 * G % 32 = 0. Limited as it.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { type GateUpShape, gateUpTile } from "../../wgsl/gate-up-end.ts";
import { wideTile } from "../../wgsl/matrix-tile.ts";

export const awqPrefillGateUpMatrix: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape> = gateUpTile(
  "awq-prefill-gate-up-matrix",
  wideTile,
  { x: 1, w: 2 },
);

/**
 * out[t, f] = f16(silu(g) · u) in eights, g and u the products of row t with rows f and F + f of repacked int4 weights [2F, K], plus biases
 * (wgsl/gate-up-end.ts), for at most 64 rows: awq-rows64-f16-matrix.ts in one piece
 * (wgsl/matrix-tile.ts), of every 32 columns 16 of gate and the same 16 of up. x and out have room for 64 rows; rows after T come out of whatever x
 * holds there. F % 16 = 0, K % 64 = 0, G % 32 = 0. Limited as it.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { type GateUpShape, gateUpTile } from "../../wgsl/gate-up-end.ts";
import { tileOf64 } from "../../wgsl/matrix-tile.ts";

export const awqRows64GateUpMatrix: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape> = gateUpTile(
  "awq-rows64-gate-up-matrix",
  tileOf64,
);

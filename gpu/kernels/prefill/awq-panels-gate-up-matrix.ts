/**
 * out[t, f] = f16(silu(g) · u) as awq-prefill-gate-up-matrix.ts, for prompts of many rows: x and out in panels of eights (wgsl/eights.ts), the same
 * bits; by the tile of awq-panels-f16-matrix.ts. F % 32 = 0. Limited as it.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { type GateUpShape, gateUpTile } from "../../wgsl/gate-up-end.ts";
import { panelTile } from "../../wgsl/matrix-tile.ts";

export const awqPanelsGateUpMatrix: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape> = gateUpTile(
  "awq-panels-gate-up-matrix",
  panelTile,
  { x: 2, w: 2 },
);

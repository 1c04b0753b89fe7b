/**
 * y[t, n] (+)= Σ_k x[t, k] · W[n, k] as awq-prefill-f16-matrix.ts, for prompts of many rows: x [T, K] f16 in panels of eights (wgsl/eights.ts), the
 * same bits. Work: a workgroup of four subgroups a tile 128 × 128 (wgsl/matrix-tile.ts), a subgroup 64 × 64 of it as 4 × 4 matrices; K by 32, x and
 * weights two steps ahead. Workgroup memory 20 KB, so that two workgroups share a multiprocessor. Limit: the latency of loads.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { int4MatrixTile, type PiecesShape, panelTile } from "../../wgsl/matrix-tile.ts";

export const awqPanelsF16Matrix: Card<"x" | "weights" | "groups" | "y", PiecesShape> = int4MatrixTile("awq-panels-f16-matrix", panelTile, {
  x: 2,
  w: 2,
});

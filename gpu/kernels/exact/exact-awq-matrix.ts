/** int4 linears of `exact` for many rows by subgroup matrices (exact-matrix-tile.ts), inputs of three digits: 64 rows × 64 columns by 128 invocations. */
import type { Card } from "../../pipeline/kernel.ts";
import { exactMatrixTile } from "../../wgsl/exact-matrix-tile.ts";
import type { ExactTileBuffers, ExactTileShape } from "../../wgsl/exact-tile.ts";

export const exactAwqMatrix: Card<ExactTileBuffers, ExactTileShape> = exactMatrixTile("exact-awq-matrix", {
  P: 3,
  SR: 2,
  SC: 2,
  MF: 2,
  NF: 2,
  ahead: true,
});

/** int4 linears of `exact` for many rows by subgroup matrices (exact-matrix-tile.ts), inputs of three digits: 32 rows × 128 columns by 128 invocations. */
import type { Card } from "../../pipeline/kernel.ts";
import { exactMatrixTile } from "../../wgsl/exact-matrix-tile.ts";
import type { ExactTileBuffers, ExactTileShape } from "../../wgsl/exact-tile.ts";

export const exactAwqMatrix: Card<ExactTileBuffers | "sums", ExactTileShape> = exactMatrixTile("exact-awq-matrix", {
  P: 3,
  SR: 1,
  SC: 4,
  MF: 2,
  NF: 2,
});

/** exact-awq-matrix.ts for inputs of four digits, which down_proj has. */
import type { Card } from "../../pipeline/kernel.ts";
import { exactMatrixTile } from "../../wgsl/exact-matrix-tile.ts";
import type { ExactTileBuffers, ExactTileShape } from "../../wgsl/exact-tile.ts";

export const exactAwqMatrix4: Card<ExactTileBuffers | "sums", ExactTileShape> = exactMatrixTile("exact-awq-matrix-4", {
  P: 4,
  SR: 1,
  SC: 4,
  MF: 2,
  NF: 2,
});

/** exact-awq-columns.ts for inputs of four digits, which down_proj has: 64 rows × 64 columns by 128 invocations. */
import type { Card } from "../../pipeline/kernel.ts";
import { exactColumnsTile } from "../../wgsl/exact-columns.ts";
import type { ExactTileBuffers, ExactTileShape } from "../../wgsl/exact-tile.ts";

export const exactAwqColumns4: Card<ExactTileBuffers, ExactTileShape> = exactColumnsTile("exact-awq-columns-4", {
  P: 4,
  SR: 2,
  SC: 2,
  MF: 2,
  NF: 2,
  ahead: false,
});

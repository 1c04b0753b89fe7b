/** int4 linears of `exact` for many rows as plain products of integer matrices (exact-columns.ts), inputs of three digits: 64 rows × 128 columns by 256 invocations. */
import type { Card } from "../../pipeline/kernel.ts";
import { exactColumnsTile } from "../../wgsl/exact-columns.ts";
import type { ExactTileBuffers, ExactTileShape } from "../../wgsl/exact-tile.ts";

export const exactAwqColumns: Card<ExactTileBuffers, ExactTileShape> = exactColumnsTile("exact-awq-columns", {
  P: 3,
  SR: 2,
  SC: 4,
  MF: 2,
  NF: 2,
  ahead: true,
});

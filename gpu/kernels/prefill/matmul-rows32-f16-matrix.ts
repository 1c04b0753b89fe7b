/**
 * matmul-prefill-f16-matrix.ts for at most 32 rows, K in pieces: a workgroup of four subgroups a tile 32 × 128
 * (wgsl/matrix-tile.ts). Workgroup memory 22.5 KB. Limited by the bytes of W.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { type DenseProductShape, denseMatrixTile, tileOf32 } from "../../wgsl/matrix-tile.ts";

export const matmulRows32F16Matrix: Card<"x" | "weight" | "y", DenseProductShape> = denseMatrixTile("matmul-rows32-f16-matrix", tileOf32);

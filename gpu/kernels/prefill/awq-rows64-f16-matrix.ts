/**
 * awq-prefill-f16-matrix.ts for at most 64 rows: the same operands, layouts and rounding. A workgroup of eight subgroups a
 * tile 64 × 256, a subgroup 64 × 32; K in pieces, so that all multiprocessors have work, joined by the kernels that read
 * them (prefill-rope-f16.ts, prefill-norm-f16.ts). x has room for 64 rows, y for 64 after each FIRST and APART. Workgroup
 * memory 45.0 KB (wgsl/matrix-tile.ts). Limit: not found.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { int4MatrixTile, type PiecesShape, tileOf64 } from "../../wgsl/matrix-tile.ts";

export const awqRows64F16Matrix: Card<"x" | "weights" | "groups" | "y", PiecesShape> = int4MatrixTile("awq-rows64-f16-matrix", tileOf64);

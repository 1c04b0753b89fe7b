/**
 * awq-prefill-f16-matrix.ts for at most 32 rows: the same operands, layouts and rounding. A workgroup of four subgroups a
 * tile 32 × 128, a subgroup 32 × 32; K in pieces, so that all multiprocessors have work, joined by the kernels that read
 * them (prefill-rope-f16.ts, prefill-norm-f16.ts). x has room for 32 rows, y for 32 after each FIRST and APART. Workgroup
 * memory 22.5 KB (wgsl/matrix-tile.ts). Limit: not found.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { int4MatrixTile, type PiecesShape, tileOf32 } from "../../wgsl/matrix-tile.ts";

export const awqRows32F16Matrix: Card<"x" | "weights" | "groups" | "y", PiecesShape> = int4MatrixTile("awq-rows32-f16-matrix", tileOf32);

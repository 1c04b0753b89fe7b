/**
 * y[t, n] (+)= Σ_k x[t, k] · W[n, k], x f16, W int4 dequantized to f16 in workgroup memory, f32 accumulation: prefill
 * by subgroup matrices. x [T, K] f16 with each eight k in the order 0 2 4 6 1 3 5 7 (wgsl/eights.ts); weights [N/4,
 * K/32], groups [N/4, K/G] of four (awq-repack.ts); y [T, N] f32. N % 64 = 0, K % 64 = 0, G % 32 = 0; x and y have
 * room for T rounded up to 128 rows, and the rows after T of y come out of whatever x holds there. w = (q − z) · s, one
 * rounding to f16 (wgsl/eights.ts). ADD: y's tile is the start of the sum. Work: a workgroup of eight subgroups a tile 128
 * × 128 (wgsl/matrix-tile.ts), a subgroup 64 × 32 of it as 4 × 2 matrices; two threads read the 64 weights of a row, two steps ahead.
 * Workgroup memory 36 KB. Limit: reads of the matrices' operands from workgroup memory.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { int4MatrixTile, type PiecesShape, wideTile } from "../../wgsl/matrix-tile.ts";

export const awqPrefillF16Matrix: Card<"x" | "weights" | "groups" | "y", PiecesShape> = int4MatrixTile("awq-prefill-f16-matrix", wideTile, {
  x: 1,
  w: 2,
});

/**
 * y[t, n] (+)= Σ_k x[t, k] · W[n, k] as awq-prefill-f16-matrix.ts, W [N, K] dense in its own dtype: f16 as it is, bf16 and
 * f32 rounded to f16 while they are staged (magnitudes beyond 65504 clamped to it). K % 64 = 0, N % 64 = 0; N columns of y,
 * from `column` on. Work: a workgroup of eight subgroups a tile 128 × 128 (wgsl/matrix-tile.ts), eight threads to a row.
 * Workgroup memory 36 KB. Limit: not found.
 */
import type { Card } from "../../pipeline/kernel.ts";
import { type DenseProductShape, denseMatrixTile, wideTile } from "../../wgsl/matrix-tile.ts";

export const matmulPrefillF16Matrix: Card<"x" | "weight" | "y", DenseProductShape> = denseMatrixTile("matmul-prefill-f16-matrix", wideTile);

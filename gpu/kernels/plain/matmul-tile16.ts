/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n] by tiles of 16 rows × 128 columns, W in its own dtype, widened while it is
 * staged; or pieces of it, for join-pieces.ts. x [T, K], out [pieces, T, columns] f32. K a multiple of 16. An invocation
 * makes 4 × 8 values; a workgroup has 64. Workgroup memory 9 KiB (wgsl/tile.ts). Limited by f32
 * arithmetic.
 */

import { tile16 } from "../../wgsl/tile.ts";
import { matmulTile } from "../../wgsl/tile-dense.ts";

export const matmulTile16: ReturnType<typeof matmulTile> = matmulTile("matmul-tile16", tile16);

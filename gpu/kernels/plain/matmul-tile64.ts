/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n] by tiles of 64 rows × 128 columns, W in its own dtype, widened while it is
 * staged; or pieces of it, for join-pieces.ts. x [T, K], out [pieces, T, columns] f32. K a multiple of 16. An invocation
 * makes 8 × 8 values; a workgroup has 128. Workgroup memory 12 KiB (wgsl/tile.ts). Limited by f32
 * arithmetic.
 */

import { tile64 } from "../../wgsl/tile.ts";
import { matmulTile } from "../../wgsl/tile-dense.ts";

export const matmulTile64: ReturnType<typeof matmulTile> = matmulTile("matmul-tile64", tile64);

/**
 * out[t, n] = Σ_k x[t, k] · ((q[n, k] − z[n, g]) · s[n, g]) + bias[n] by tiles of 64 rows × 128 columns, int4 weights
 * repacked and dequantized while they are staged; or pieces of it, for join-pieces.ts. x [T, K], out [pieces, T, N] f32.
 * K and groupSize multiples of 32. An invocation makes 8 × 8 values; a workgroup has 128. Workgroup memory
 * 12 KiB (wgsl/tile.ts). Limited by f32 arithmetic.
 */

import { tile64 } from "../../wgsl/tile.ts";
import { awqTile } from "../../wgsl/tile-awq.ts";

export const awqTile64: ReturnType<typeof awqTile> = awqTile("awq-tile64", tile64);

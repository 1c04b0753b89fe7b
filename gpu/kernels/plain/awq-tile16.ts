/**
 * out[t, n] = Σ_k x[t, k] · ((q[n, k] − z[n, g]) · s[n, g]) + bias[n] by tiles of 16 rows × 128 columns, int4 weights
 * repacked and dequantized while they are staged; or pieces of it, for join-pieces.ts. x [T, K], out [pieces, T, N] f32.
 * K and groupSize multiples of 32. An invocation makes 4 × 8 values; a workgroup has 64. Workgroup memory
 * 9 KiB (wgsl/tile.ts). Limited by f32 arithmetic.
 */

import { tile16 } from "../../wgsl/tile.ts";
import { awqTile } from "../../wgsl/tile-awq.ts";

export const awqTile16: ReturnType<typeof awqTile> = awqTile("awq-tile16", tile16);

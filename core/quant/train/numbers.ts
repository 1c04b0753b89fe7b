/**
 * What training computes with. Everything is written for arrays of either width: f32 where models are trained, f64 where
 * the laws hold gradients to finite differences.
 */
import type { CpuOps } from "../../model/ops.ts";
import { product } from "../search/gram.ts";

export type Floats = Float32Array | Float64Array;

/** Makes an array of zeros. */
export type Allocate = (length: number) => Float32Array;

/** Arrays, and products of matrices. */
export interface Numbers {
  /** Zeros. */
  make(length: number): Floats;
  /** out[r, n] = Σ_k x[r, k] · y[n, k]; x [rows, K], y [N, K]. */
  product(x: Floats, y: Floats, rows: number, N: number, K: number): Floats;
}

/** f32, products by the engine's ops. */
export const singles = (ops: Pick<CpuOps, "matmul">): Numbers => ({
  make: (length) => new Float32Array(length),
  product: (x, y, rows, N, K) => product(ops, x as Float32Array, y as Float32Array, rows, N, K),
});

/** x [rows, K] as [K, rows]. */
export function turned({ make }: Pick<Numbers, "make">, x: Floats, rows: number, K: number): Floats {
  const out = make(rows * K);
  // By tiles: neither side jumps far.
  const TILE = 32;
  for (let r0 = 0; r0 < rows; r0 += TILE)
    for (let k0 = 0; k0 < K; k0 += TILE) {
      const r1 = Math.min(rows, r0 + TILE);
      const k1 = Math.min(K, k0 + TILE);
      for (let k = k0; k < k1; k++) for (let r = r0; r < r1; r++) out[k * rows + r] = x[r * K + k]!;
    }
  return out;
}

/** Arrays one after the other. */
export function join(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

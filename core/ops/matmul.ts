/**
 * Dense linear layer, y = x Wᵀ + bias, for weights kept in their stored 16- or 32-bit form.
 * Four output rows go side by side for speed, which changes no result: each sum runs over ascending k alone.
 */
import { GureumError } from "../errors.ts";
import type { DenseMatrix } from "../tensor.ts";
import { checkLength } from "../tensor.ts";
import { widenRow } from "./embedding.ts";

const LANES = 4;
/** Scratch: four widened rows of the weight; grows to the widest K seen. */
let rows = new Float64Array(0);

/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n]; x [T, K] f32, W [N, K], out [T, N] f32. The sum is taken in f64 over
 * ascending k, the bias added to it, and the result rounded once.
 * @throws GureumError "shape"
 */
export function matmul(out: Float32Array, x: Float32Array, weight: DenseMatrix, bias: Float32Array | null, T: number): void {
  const { inFeatures: K, outFeatures: N } = weight;
  checkLength("matmul", "x", x, T * K);
  checkLength("matmul", "out", out, T * N);
  if (weight.data.length !== N * K)
    throw new GureumError("shape", { where: "matmul", what: "weight", expected: `${N} x ${K} elements`, got: `${weight.data.length}` });
  if (bias) checkLength("matmul", "bias", bias, N);
  if (rows.length < LANES * K) rows = new Float64Array(LANES * K);
  const w = rows;
  for (let n = 0; n < N; n += LANES) {
    const lanes = Math.min(LANES, N - n);
    for (let lane = 0; lane < lanes; lane++) widenRow(w, lane * K, weight, n + lane);
    for (let t = 0; t < T; t++) {
      const row = t * K;
      let y0 = 0;
      let y1 = 0;
      let y2 = 0;
      let y3 = 0;
      for (let k = 0; k < K; k++) {
        const xk = x[row + k]!;
        y0 += xk * w[k]!;
        y1 += xk * w[K + k]!;
        y2 += xk * w[2 * K + k]!;
        y3 += xk * w[3 * K + k]!;
      }
      const y = t * N + n;
      out[y] = bias ? y0 + bias[n]! : y0;
      if (lanes > 1) out[y + 1] = bias ? y1 + bias[n + 1]! : y1;
      if (lanes > 2) out[y + 2] = bias ? y2 + bias[n + 2]! : y2;
      if (lanes > 3) out[y + 3] = bias ? y3 + bias[n + 3]! : y3;
    }
  }
}

/**
 * Root mean square norm.
 * Source: Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4; Hugging Face `modeling_llama.py` (LlamaRMSNorm).
 */
import { checkLength } from "../tensor.ts";

/**
 * out[t, d] = x[t, d] / √(mean_d x[t, d]² + eps) · weight[d], all [T, D] f32; mean and quotient in f64, one rounding.
 * `out` may be `x`.
 * @throws GureumError "shape"
 */
export function rmsNorm(out: Float32Array, x: Float32Array, weight: Float32Array, eps: number, T: number): void {
  const D = weight.length;
  checkLength("rmsNorm", "x", x, T * D);
  checkLength("rmsNorm", "out", out, T * D);
  for (let t = 0; t < T; t++) {
    const start = t * D;
    let squares = 0;
    for (let d = 0; d < D; d++) squares += x[start + d]! * x[start + d]!;
    const scale = 1 / Math.sqrt(squares / D + eps);
    for (let d = 0; d < D; d++) out[start + d] = x[start + d]! * scale * weight[d]!;
  }
}

/**
 * The gate of the SwiGLU feed-forward network.
 * Source: Shazeer 2020, arXiv 2002.05202; Hugging Face `modeling_llama.py` (LlamaMLP).
 */
import { checkLength } from "../tensor.ts";

/**
 * out[i] = gate[i] / (1 + exp(−gate[i])) · up[i] for i < length; f64, one rounding. `out` may be `gate` or `up`.
 * @throws GureumError "shape"
 */
export function siluMul(out: Float32Array, gate: Float32Array, up: Float32Array, length: number): void {
  checkLength("siluMul", "gate", gate, length);
  checkLength("siluMul", "up", up, length);
  checkLength("siluMul", "out", out, length);
  for (let i = 0; i < length; i++) {
    const g = gate[i]!;
    out[i] = (g / (1 + Math.exp(-g))) * up[i]!;
  }
}

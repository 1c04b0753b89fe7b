/**
 * Softmax of one row, shifted by its maximum so that nothing overflows.
 * Source: Milakov & Gimelshein 2018, arXiv 1805.02867, eq. 2 (the two-pass "safe softmax").
 */
import { checkLength } from "../tensor.ts";

/**
 * out[i] = exp(x[i] − max x) / Σ_j exp(x[j] − max x) for i < length; f64, each result rounded once to out's type.
 * −∞ gives 0; a row of nothing but −∞ gives zeros. `out` may be `x`.
 * @throws GureumError "shape"
 */
export function softmax(
  out: Float32Array | Float64Array,
  outOffset: number,
  x: Float32Array | Float64Array,
  xOffset: number,
  length: number,
): void {
  checkLength("softmax", "x", x, xOffset + length);
  checkLength("softmax", "out", out, outOffset + length);
  let max = -Infinity;
  for (let i = 0; i < length; i++) if (x[xOffset + i]! > max) max = x[xOffset + i]!;
  if (max === -Infinity) {
    out.fill(0, outOffset, outOffset + length);
    return;
  }
  let sum = 0;
  for (let i = 0; i < length; i++) sum += Math.exp(x[xOffset + i]! - max);
  for (let i = 0; i < length; i++) out[outOffset + i] = Math.exp(x[xOffset + i]! - max) / sum;
}

/**
 * Linear layer on AWQ int4 weights in the arithmetic `fixed16`: activations as block fixed point
 * (core/quant/fixed16.ts), exact integer sums of each block, joined in f32. The twin of the fixed16 kernels: their
 * integer sums are these, bit for bit; their joins differ in order, which the bound in conformance/accuracy covers.
 * Source: own definition; the weights' layout is AutoAWQ's (docs/formats.md).
 */
import { f16Values } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import { shiftOfColumn } from "../quant/awq-format.ts";
import type { Fixed16 } from "../quant/fixed16.ts";
import type { AwqMatrix } from "../tensor.ts";
import { checkLength } from "../tensor.ts";

function checkShapes(where: string, a: Fixed16, { inFeatures: K, groupSize: G }: AwqMatrix): void {
  if (a.inFeatures !== K)
    throw new GureumError("shape", { where, what: "inner dimension", expected: String(K), got: String(a.inFeatures) });
  if (G % a.block !== 0)
    throw new GureumError("shape", { where, what: "group size", expected: `a multiple of the block ${a.block}`, got: String(G) });
}

/**
 * The integers: sums[t, n, b] = Σ_{k in block b} v[t, k] · (q[k, n] − z[g(b), n]), exact; |sum| ≤ 15 · 32512 · block,
 * below 2^24 for 32.
 * @returns [T, N, K / block]
 * @throws GureumError "shape"
 */
export function awqBlockSums(a: Fixed16, weight: AwqMatrix): Int32Array {
  checkShapes("awqBlockSums", a, weight);
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros } = weight;
  const blocks = K / a.block;
  const sums = new Int32Array(a.rows * N * blocks);
  for (let k = 0; k < K; k++) {
    const b = Math.floor(k / a.block);
    const g = Math.floor(k / G);
    for (let n = 0; n < N; n++) {
      const shift = shiftOfColumn[n & 7]!;
      const w = ((qweight[(k * N + n) >> 3]! >>> shift) & 15) - ((qzeros[(g * N + n) >> 3]! >>> shift) & 15);
      for (let t = 0; t < a.rows; t++) sums[(t * N + n) * blocks + b]! += w * a.values[t * K + k]!;
    }
  }
  return sums;
}

/**
 * out[t, n] = Σ_b sums[t, n, b] · (2^e[t, b] · s[g(b), n]) + bias[n]. The inner product of two scales is exact; each
 * block's product is rounded to f32 once, and so is each addition, blocks ascending, the bias last.
 * @param out [T, N]
 * @throws GureumError "shape"
 */
export function awqMatmulFixed16(out: Float32Array, a: Fixed16, weight: AwqMatrix, bias: Float32Array | null): void {
  const { inFeatures: K, outFeatures: N, groupSize: G, scales } = weight;
  checkLength("awqMatmulFixed16", "out", out, a.rows * N);
  if (bias) checkLength("awqMatmulFixed16", "bias", bias, N);
  const sums = awqBlockSums(a, weight);
  const blocks = K / a.block;
  const scaleOf = f16Values();
  const { fround } = Math;
  for (let t = 0; t < a.rows; t++)
    for (let n = 0; n < N; n++) {
      let y = 0;
      for (let b = 0; b < blocks; b++) {
        const scale = a.scales[t * blocks + b]! * scaleOf[scales[Math.floor((b * a.block) / G) * N + n]!]!;
        y = fround(y + fround(sums[(t * N + n) * blocks + b]! * scale));
      }
      out[t * N + n] = bias ? fround(y + bias[n]!) : y;
    }
}

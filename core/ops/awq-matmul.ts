/**
 * Linear layer on AWQ int4 weights, y = x W + bias with W[k, n] = (q[k, n] − z[k/G, n]) · s[k/G, n], straight from the
 * packed words: no dequantized copy exists beyond one tile.
 * Source: AutoAWQ `awq/modules/linear/gemm.py`, `awq/utils/packing_utils.py` (layout: docs/formats.md).
 */
import { f16Values } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import type { AwqMatrix } from "../tensor.ts";
import { checkLength } from "../tensor.ts";

/** Words side by side in a tile: 16 int32 fill one 64-byte cache line of a qweight row. */
const BLOCK = 16;
/** Scratch: q − z of one word's eight columns over one group [G, 8], and the running sums [T, BLOCK · 8]. */
let tile = new Float64Array(0);
let sums = new Float64Array(0);

/**
 * out[t, n] = Σ_g s[g, n] · (Σ_{k in g} x[t, k] · (q[k, n] − z[g, n])) + bias[n]; x [T, K] f32, out [T, N] f32. Both
 * sums in f64 over ascending k and g, the bias added last, one rounding.
 * @throws GureumError "shape"
 */
export function awqMatmul(out: Float32Array, x: Float32Array, weight: AwqMatrix, bias: Float32Array | null, T: number): void {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
  checkLength("awqMatmul", "x", x, T * K);
  checkLength("awqMatmul", "out", out, T * N);
  if (N % 8 !== 0 || K % G !== 0 || qweight.length !== (K * N) / 8 || qzeros.length !== ((K / G) * N) / 8 || scales.length !== (K / G) * N)
    throw new GureumError("shape", {
      where: "awqMatmul",
      what: "weight",
      expected: `qweight, qzeros, scales of a ${K} x ${N} matrix in groups of ${G}`,
    });
  if (bias) checkLength("awqMatmul", "bias", bias, N);
  if (tile.length < G * 8) tile = new Float64Array(G * 8);
  if (sums.length < T * BLOCK * 8) sums = new Float64Array(T * BLOCK * 8);
  const w = tile;
  const total = sums;
  const scaleOf = f16Values();
  const words = N / 8;
  for (let block = 0; block < words; block += BLOCK) {
    const end = Math.min(block + BLOCK, words);
    total.fill(0, 0, T * BLOCK * 8);
    for (let g = 0; g < K / G; g++) {
      for (let c = block; c < end; c++) {
        unpackTile(w, qweight, g * G * words + c, words, G, qzeros[g * words + c]!);
        const s = g * N + c * 8;
        for (let t = 0; t < T; t++) {
          let y0 = 0;
          let y1 = 0;
          let y2 = 0;
          let y3 = 0;
          let y4 = 0;
          let y5 = 0;
          let y6 = 0;
          let y7 = 0;
          const row = t * K + g * G;
          for (let k = 0, i = 0; k < G; k++, i += 8) {
            const xk = x[row + k]!;
            y0 += xk * w[i]!;
            y1 += xk * w[i + 1]!;
            y2 += xk * w[i + 2]!;
            y3 += xk * w[i + 3]!;
            y4 += xk * w[i + 4]!;
            y5 += xk * w[i + 5]!;
            y6 += xk * w[i + 6]!;
            y7 += xk * w[i + 7]!;
          }
          const y = t * BLOCK * 8 + (c - block) * 8;
          total[y]! += scaleOf[scales[s]!]! * y0;
          total[y + 1]! += scaleOf[scales[s + 1]!]! * y1;
          total[y + 2]! += scaleOf[scales[s + 2]!]! * y2;
          total[y + 3]! += scaleOf[scales[s + 3]!]! * y3;
          total[y + 4]! += scaleOf[scales[s + 4]!]! * y4;
          total[y + 5]! += scaleOf[scales[s + 5]!]! * y5;
          total[y + 6]! += scaleOf[scales[s + 6]!]! * y6;
          total[y + 7]! += scaleOf[scales[s + 7]!]! * y7;
        }
      }
    }
    const columns = (end - block) * 8;
    for (let t = 0; t < T; t++) {
      for (let j = 0; j < columns; j++) {
        const n = block * 8 + j;
        const y = total[t * BLOCK * 8 + j]!;
        out[t * N + n] = bias ? y + bias[n]! : y;
      }
    }
  }
}

/**
 * w[k, j] = q[k, 8c + j] − z[8c + j] for one word column c and the G rows of a group; column 8c + j sits at bit
 * 4 · [0, 4, 1, 5, 2, 6, 3, 7][j] of its word.
 */
function unpackTile(w: Float64Array, qweight: Int32Array, first: number, stride: number, G: number, zeros: number): void {
  const z0 = zeros & 15;
  const z1 = (zeros >> 16) & 15;
  const z2 = (zeros >> 4) & 15;
  const z3 = (zeros >> 20) & 15;
  const z4 = (zeros >> 8) & 15;
  const z5 = (zeros >> 24) & 15;
  const z6 = (zeros >> 12) & 15;
  const z7 = (zeros >> 28) & 15;
  for (let k = 0, i = 0, at = first; k < G; k++, i += 8, at += stride) {
    const word = qweight[at]!;
    w[i] = (word & 15) - z0;
    w[i + 1] = ((word >> 16) & 15) - z1;
    w[i + 2] = ((word >> 4) & 15) - z2;
    w[i + 3] = ((word >> 20) & 15) - z3;
    w[i + 4] = ((word >> 8) & 15) - z4;
    w[i + 5] = ((word >> 24) & 15) - z5;
    w[i + 6] = ((word >> 12) & 15) - z6;
    w[i + 7] = ((word >> 28) & 15) - z7;
  }
}

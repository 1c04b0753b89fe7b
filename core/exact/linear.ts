/**
 * Linear layers of `exact` (docs/exact.md, "Linears"): y[n] = rn(Σ_k v_k W_kn) with the row of activations, and a dense matrix's rows, as
 * fixed rows: an exact integer sum, rounded once; then add(y, bias). Sums are taken in f64 wherever every partial sum provably stays below
 * 2^53, and in integers of any size elsewhere, so that neither order nor tiling can show.
 */
import { f16Values } from "../dtype.ts";
import { widenRow } from "../ops/embedding.ts";
import { shiftOfColumn } from "../quant/awq-format.ts";
import type { AwqMatrix, DenseMatrix, Linear } from "../tensor.ts";
import { add, clean, nearest, nearestInteger, nearestOfHalves } from "./numbers.ts";
import { type FixedRow, fixedRow, fixInto, type Width } from "./rows.ts";

/** An int4 matrix as stored, with what the sums need to know of its scales. */
export interface ExactAwq {
  readonly kind: "awq";
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly matrix: AwqMatrix;
  /** [N] the largest power of two that divides every S of a column, S = s · 2^24: integers for every binary16 scale. */
  readonly units: Float64Array;
}

/** A dense matrix as fixed rows of 24 bits. */
export interface ExactDense {
  readonly kind: "dense";
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [N, K] */
  readonly values: Int32Array;
  /** [N] */
  readonly exponents: Int16Array;
  /** √Σ w² of each row, rounded up a little: with that of x it bounds every partial sum (Cauchy, Schwarz). */
  readonly norms: Float64Array;
}

export interface ExactLinear {
  readonly weight: ExactAwq | ExactDense;
  readonly bias: Float32Array | null;
}

/** More than rounding can take off a norm that f64 computed. */
const MARGIN = 1 + 2 ** -30;
const LIMIT = 2 ** 53;

export function exactAwq(matrix: AwqMatrix): ExactAwq {
  const { inFeatures: K, outFeatures: N, groupSize: G, scales } = matrix;
  const units = new Float64Array(N).fill(2 ** 30);
  for (let i = 0; i < (K / G) * N; i++) {
    const n = i % N;
    units[n] = Math.min(units[n]!, 2 ** (Math.max(1, (scales[i]! >> 10) & 31) - 1));
  }
  return { kind: "awq", inFeatures: K, outFeatures: N, matrix, units };
}

export function exactDense(matrix: DenseMatrix): ExactDense {
  const { inFeatures: K, outFeatures: N } = matrix;
  const values = new Int32Array(N * K);
  const exponents = new Int16Array(N);
  const norms = new Float64Array(N);
  const row = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    widenRow(row, 0, matrix, n);
    for (let k = 0; k < K; k++) row[k] = clean(row[k]!);
    exponents[n] = fixInto(values, n * K, row, 0, K, 24);
    norms[n] = norm(values, n * K, K);
  }
  return { kind: "dense", inFeatures: K, outFeatures: N, values, exponents, norms };
}

export const exactLinear = ({ weight, bias }: Linear): ExactLinear => ({
  weight: weight.kind === "awq" ? exactAwq(weight) : exactDense(weight),
  bias: bias === null ? null : bias.map(clean),
});

function norm(values: Float64Array | Int32Array, from: number, n: number): number {
  let squares = 0;
  for (let i = from; i < from + n; i++) squares += values[i]! * values[i]!;
  return Math.sqrt(squares) * MARGIN;
}

/** out [T, N] = x [T, K] W + bias, x taken as rows of `bits`. */
export function linear(out: Float32Array, x: Float32Array, { weight, bias }: ExactLinear, T: number, bits: Width): void {
  const { inFeatures: K, outFeatures: N } = weight;
  const rows = Array.from({ length: T }, (_, t) => fixedRow(x, t * K, K, bits));
  if (weight.kind === "awq") awqProducts(out, rows, weight);
  else denseProducts(out, rows, weight);
  if (bias) for (let i = 0; i < T * N; i++) out[i] = add(out[i]!, bias[i % N]!);
}

/** rn(2^(e − 24) Σ_g S_g Σ_{k in g} v_k (q − z)). */
function awqProducts(out: Float32Array, rows: readonly FixedRow[], weight: ExactAwq): void {
  const { inFeatures: K, outFeatures: N, matrix, units } = weight;
  const { groupSize: G, qweight, qzeros, scales } = matrix;
  const words = N / 8;
  const scaleOf = f16Values();
  const T = rows.length;
  const tile = new Float64Array(G * 8);
  const sums = new Float64Array(T * 8);
  const sizes = new Float64Array(T * 8);
  const y = new Float64Array(16);
  const s = new Float64Array(8);
  for (let c = 0; c < words; c++) {
    sums.fill(0);
    sizes.fill(0);
    for (let g = 0; g < K / G; g++) {
      unpackTile(tile, qweight, g * G * words + c, words, G, qzeros[g * words + c]!);
      for (let j = 0; j < 8; j++) s[j] = scaleOf[scales[g * N + c * 8 + j]!]! * 2 ** 24;
      for (let t = 0; t < T; t += 2) {
        if (t + 1 < T) pairSums(y, rows[t]!.values, rows[t + 1]!.values, g * G, tile, G);
        else rowSums(y, rows[t]!.values, g * G, tile, G);
        for (let j = 0; j < Math.min(16, (T - t) * 8); j++) {
          const term = y[j]! * s[j & 7]!;
          sums[t * 8 + j]! += term;
          sizes[t * 8 + j]! += Math.abs(term);
        }
      }
    }
    for (let t = 0; t < T; t++)
      for (let j = 0; j < 8; j++) {
        const n = c * 8 + j;
        const e = rows[t]!.exponent - 24;
        // Terms are multiples of the unit: below 2^53 of them in all, every product and every partial sum was exact.
        out[t * N + n] =
          sizes[t * 8 + j]! < LIMIT * units[n]! ? nearest(sums[t * 8 + j]! * 2 ** e) : nearestInteger(awqInteger(rows[t]!, weight, n), e);
      }
  }
}

/** q − z of one word column over one group, [G, 8]. */
function unpackTile(tile: Float64Array, qweight: Int32Array, first: number, stride: number, G: number, zeros: number): void {
  const [z0, z1, z2, z3, z4, z5, z6, z7] = shiftOfColumn.map((shift) => (zeros >>> shift) & 15) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let i = 0, at = first; i < G * 8; i += 8, at += stride) {
    const word = qweight[at]!;
    tile[i] = (word & 15) - z0;
    tile[i + 1] = ((word >>> 16) & 15) - z1;
    tile[i + 2] = ((word >>> 4) & 15) - z2;
    tile[i + 3] = ((word >>> 20) & 15) - z3;
    tile[i + 4] = ((word >>> 8) & 15) - z4;
    tile[i + 5] = ((word >>> 24) & 15) - z5;
    tile[i + 6] = ((word >>> 12) & 15) - z6;
    tile[i + 7] = ((word >>> 28) & 15) - z7;
  }
}

/** y[j] = Σ_{k < G} v[from + k] · tile[k, j], integers below 2^31 · 15 · G. */
function rowSums(y: Float64Array, v: Float64Array, from: number, tile: Float64Array, G: number): void {
  let y0 = 0;
  let y1 = 0;
  let y2 = 0;
  let y3 = 0;
  let y4 = 0;
  let y5 = 0;
  let y6 = 0;
  let y7 = 0;
  for (let k = 0, i = 0; k < G; k++, i += 8) {
    const value = v[from + k]!;
    y0 += value * tile[i]!;
    y1 += value * tile[i + 1]!;
    y2 += value * tile[i + 2]!;
    y3 += value * tile[i + 3]!;
    y4 += value * tile[i + 4]!;
    y5 += value * tile[i + 5]!;
    y6 += value * tile[i + 6]!;
    y7 += value * tile[i + 7]!;
  }
  y[0] = y0;
  y[1] = y1;
  y[2] = y2;
  y[3] = y3;
  y[4] = y4;
  y[5] = y5;
  y[6] = y6;
  y[7] = y7;
}

/** y[r, j] = Σ_{k < G} v_r[from + k] · tile[k, j] of two rows, integers below 2^31 · 15 · G. Two share what is read of the tile. */
function pairSums(y: Float64Array, v: Float64Array, w: Float64Array, from: number, tile: Float64Array, G: number): void {
  for (let j = 0; j < 8; j += 4) {
    let v0 = 0;
    let v1 = 0;
    let v2 = 0;
    let v3 = 0;
    let w0 = 0;
    let w1 = 0;
    let w2 = 0;
    let w3 = 0;
    for (let k = from, i = j; k < from + G; k++, i += 8) {
      const a = v[k]!;
      const b = w[k]!;
      const t0 = tile[i]!;
      const t1 = tile[i + 1]!;
      const t2 = tile[i + 2]!;
      const t3 = tile[i + 3]!;
      v0 += a * t0;
      v1 += a * t1;
      v2 += a * t2;
      v3 += a * t3;
      w0 += b * t0;
      w1 += b * t1;
      w2 += b * t2;
      w3 += b * t3;
    }
    y[j] = v0;
    y[j + 1] = v1;
    y[j + 2] = v2;
    y[j + 3] = v3;
    y[j + 8] = w0;
    y[j + 9] = w1;
    y[j + 10] = w2;
    y[j + 11] = w3;
  }
}

/** The sum of one output in integers of any size. */
function awqInteger({ values }: FixedRow, { inFeatures: K, outFeatures: N, matrix }: ExactAwq, n: number): bigint {
  const { groupSize: G, qweight, qzeros, scales } = matrix;
  const scaleOf = f16Values();
  const shift = shiftOfColumn[n & 7]!;
  let sum = 0n;
  for (let g = 0; g < K / G; g++) {
    const zero = (qzeros[(g * N + n) >> 3]! >>> shift) & 15;
    let y = 0;
    for (let k = g * G; k < (g + 1) * G; k++) y += values[k]! * (((qweight[(k * N + n) >> 3]! >>> shift) & 15) - zero);
    sum += BigInt(y) * BigInt(scaleOf[scales[g * N + n]!]! * 2 ** 24);
  }
  return sum;
}

/** rn(2^(e + f_n) Σ_k v_k w_nk). */
function denseProducts(
  out: Float32Array,
  rows: readonly FixedRow[],
  { inFeatures: K, outFeatures: N, values: w, exponents, norms }: ExactDense,
): void {
  const halves = rows.map(({ values }) => {
    const high = values.map((v) => Math.floor(v / 65536));
    const low = values.map((v, k) => v - 65536 * high[k]!);
    return { whole: norm(values, 0, K), high, highNorm: norm(high, 0, K), low, lowNorm: norm(low, 0, K) };
  });
  for (let n = 0; n < N; n++) {
    const row = n * K;
    for (let t = 0; t < rows.length; t++) {
      const { values, exponent } = rows[t]!;
      const half = halves[t]!;
      const e = exponent + exponents[n]!;
      if (half.whole * norms[n]! < LIMIT) {
        let y = 0;
        for (let k = 0; k < K; k++) y += values[k]! * w[row + k]!;
        out[t * N + n] = nearest(y * 2 ** e);
      } else if (Math.max(half.highNorm, half.lowNorm) * norms[n]! < LIMIT) {
        let high = 0;
        let low = 0;
        for (let k = 0; k < K; k++) {
          high += half.high[k]! * w[row + k]!;
          low += half.low[k]! * w[row + k]!;
        }
        out[t * N + n] = nearestOfHalves(high, low, e);
      } else {
        let y = 0n;
        for (let k = 0; k < K; k++) y += BigInt(values[k]!) * BigInt(w[row + k]!);
        out[t * N + n] = nearestInteger(y, e);
      }
    }
  }
}

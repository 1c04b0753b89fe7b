/**
 * Linears of `exact` over kernels: rows of x as digits, which kernel runs, how it is divided among threads. Same words as
 * core/exact/linear.ts, which runs where a matrix is beyond what a kernel adds up exactly.
 */
import { f16Values } from "../core/dtype.ts";
import { exactAwq, exactLinear, linear } from "../core/exact/linear.ts";
import { clean } from "../core/exact/numbers.ts";
import type { ExactLinearOp } from "../core/exact/ops.ts";
import { fixInto, rowExponent, type Width } from "../core/exact/rows.ts";
import { widenRow } from "../core/ops/embedding.ts";
import { type AwqMatrix, checkLength, type DenseMatrix, type Linear } from "../core/tensor.ts";
import { foursBytes, frameOf, readSingles, viewsOf, writeSingles } from "./frame.ts";
import { CHUNK, PAIR, UNIT_COLUMNS, UNITS } from "./kernels/exact-awq.ts";
import { exactAwqRowScratch } from "./kernels/exact-awq-row.ts";
import { exactAwqRowsScratch } from "./kernels/exact-awq-rows.ts";
import { exactMatmulScratch } from "./kernels/exact-matmul.ts";
import { scaleOf } from "./kernels/expand.ts";
import { FOUR, TILE } from "./kernels/tile-product.ts";
import { locate, ROWS, stepOf } from "./linears.ts";
import type { Bank } from "./memory/bank.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const rowKernel = kernelIndex("exact-awq-row");
const rowsKernel = kernelIndex("exact-awq-rows");

const denseKernels = {
  F16: kernelIndex("exact-matmul-f16"),
  BF16: kernelIndex("exact-matmul-bf16"),
  F32: kernelIndex("exact-matmul-f32"),
} as const;

/** Frame bytes of a linear with up to K inputs and N outputs. */
export function exactFrameBytes(K: number, N: number, threads: number): number {
  const scratch = Math.max(exactAwqRowScratch, exactAwqRowsScratch(ROWS), exactMatmulScratch(ROWS));
  const operands = Math.max(ROWS * PAIR * K, foursBytes(ROWS, K) + foursBytes(2 * ROWS, K) + 9 * N);
  return operands + 8 * K + 4 * (ROWS + 1) * N + threads * scratch + 2048;
}

/** Norms in f64 are off by less than this. */
const MARGIN = 1 - 2 ** -20;

/** Largest |h| or |l| of a digit pair. */
const DIGIT = 2 ** 15;

/**
 * Whether the two totals of every column stay below 2^53 units of its least scale, whatever x is: then no sum of theirs is rounded.
 */
function addsExactly(matrix: AwqMatrix): boolean {
  const { inFeatures: K, outFeatures: N, groupSize: G, scales } = matrix;
  const { units } = exactAwq(matrix);
  const values = f16Values();
  const sums = new Float64Array(N);
  for (let i = 0; i < (K / G) * N; i++) sums[i % N]! += Math.abs(values[scales[i]!]!);
  return sums.every((sum, n) => ((sum * 2 ** 24) / units[n]!) * 15 * DIGIT * G < 2 ** 53);
}

/** Row t of x [·, K] as pairs of digits; the sums of h and of l of each chunk to `sums`, if it is there. @returns the row's exponent */
function writeDigits(
  bank: Bank,
  address: number,
  sums: Int32Array | null,
  x: Float32Array,
  t: number,
  K: number,
  groupSize: number,
  bits: Width,
  fixed: Int32Array,
): number {
  const e = fixInto(fixed, 0, x, t * K, K, bits);
  const { i16 } = viewsOf(bank);
  const to = address / 2;
  for (let k = 0, at = to; k < K; k += 2, at += 4) {
    const a = fixed[k]!;
    const b = fixed[k + 1]!;
    const lowA = (a << 16) >> 16;
    const lowB = (b << 16) >> 16;
    i16[at] = (a - lowA) >> 16;
    i16[at + 1] = (b - lowB) >> 16;
    i16[at + 2] = lowA;
    i16[at + 3] = lowB;
  }
  if (sums)
    for (let g = 0, at = 0; g < K; g += groupSize)
      for (let from = g; from < g + groupSize; from += CHUNK) {
        let high = 0;
        let low = 0;
        for (let k = from; k < Math.min(from + CHUNK, g + groupSize); k++) {
          const lower = (fixed[k]! << 16) >> 16;
          high += (fixed[k]! - lower) >> 16;
          low += lower;
        }
        sums[at++] = high;
        sums[at++] = low;
      }
  return e;
}

/** What the kernel of a dense matrix needs to know of its rows, none of it large beside the matrix. */
interface DenseRows {
  /** [N] 1.5 · 2^52 units of each row (kernels/expand.ts). */
  readonly rounding: Float64Array;
  /** [N/16] the largest norm of a unit's rows as integers. */
  readonly norms: Float64Array;
}

/** Rows whose largest number is smaller than this, and not 0, are left to the reference: their units are too near to where f64 ends. */
const LEAST_ROW = 2 ** -90;

/** @returns undefined where the reference has to do it */
function denseRows(matrix: DenseMatrix): DenseRows | undefined {
  const { inFeatures: K, outFeatures: N, dtype, data } = matrix;
  if (data.length !== N * K || K > 32768) return undefined;
  // Moved fields are off by this (kernels/expand.ts).
  const unit = 1.5 * 2 ** 52 * (dtype === "BF16" ? 2 ** -896 : 1);
  const rounding = new Float64Array(N);
  const norms = new Float64Array(Math.ceil(N / TILE));
  const row = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    widenRow(row, 0, matrix, n);
    let largest = 0;
    let squares = 0;
    for (let k = 0; k < K; k++) {
      const w = Math.abs(row[k]!);
      largest = Math.max(w, largest);
      squares += w * w;
    }
    // Squares are NaN or infinite where a number is.
    if (!(squares < Infinity) || (largest > 0 && largest < LEAST_ROW)) return undefined;
    const e = rowExponent(largest, 24);
    rounding[n] = largest === 0 ? 0 : unit * 2 ** e;
    // Rounded to integers, a row is longer by √K / 2 at most.
    const norm = largest === 0 ? 0 : Math.sqrt(squares) * 2 ** -e + Math.sqrt(K);
    norms[Math.floor(n / TILE)] = Math.max(norms[Math.floor(n / TILE)]!, norm);
  }
  return { rounding, norms };
}

/** Row t of x [·, K] to row r of `whole`, by fours of rows, and to rows r and T + r of `digits`, all times `factor`. */
function writeHalves(
  bank: Bank,
  { whole, digits }: { readonly whole: number; readonly digits: number },
  x: Float32Array,
  t: number,
  r: number,
  T: number,
  K: number,
  bits: Width,
  factor: number,
  fixed: Int32Array,
): { readonly exponent: number; readonly norm: number } {
  const exponent = fixInto(fixed, 0, x, t * K, K, bits);
  const { f64 } = viewsOf(bank);
  const at = (base: number, row: number): number => base / 8 + (row - (row % FOUR)) * K + (row % FOUR);
  const [w, h, l] = [at(whole, r), at(digits, r), at(digits, T + r)];
  // Halves of 12 bits or 16: their sums with 23 bits of w, over 2^15 rows, are below 2^53.
  const shift = bits === 24 ? 20 : 16;
  let squares = 0;
  for (let k = 0; k < K; k++) {
    const v = fixed[k]!;
    const low = (v << shift) >> shift;
    f64[w + k * FOUR] = v * factor;
    f64[h + k * FOUR] = (v - low) * factor;
    f64[l + k * FOUR] = low * factor;
    squares += v * v;
  }
  return { exponent, norm: Math.sqrt(squares) };
}

export function makeExactLinears(team: Team, banks: Banks): (layer: Linear) => ExactLinearOp {
  const { args, threads } = team;
  const fixed = { row: new Int32Array(0) };
  const fixedRow = (K: number): Int32Array => {
    if (fixed.row.length < K) fixed.row = new Int32Array(K);
    return fixed.row;
  };

  const reference = (layer: Linear): ExactLinearOp => {
    const prepared = exactLinear(layer);
    return (out, x, T, bits) => linear(out, x, prepared, T, bits);
  };

  const awq = (matrix: AwqMatrix, bias: Float32Array | null): ExactLinearOp => {
    const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = matrix;
    const chunks = (K / groupSize) * Math.ceil(groupSize / CHUNK);
    const units = Math.ceil(N / UNIT_COLUMNS);
    return (out, x, T, bits) => {
      checkLength("linear", "x", x, T * K);
      checkLength("linear", "out", out, T * N);
      const { bank, addresses } = locate(banks, [qweight, qzeros, scales], exactFrameBytes(K, N, threads));
      const frame = frameOf(bank);
      const views = viewsOf(bank);
      const many = Math.min(ROWS, T + (T & 1));
      const digitsAt = frame.take(many * (PAIR / 2) * K);
      const sumsAt = frame.take(8 * chunks);
      const powersAt = frame.take(8 * ROWS);
      const outAt = frame.take(4 * ROWS * N);
      const biasAt = bias ? frame.take(4 * N) : 0;
      if (bias) writeSingles(bank, biasAt, bias);
      const scratchBytes = T === 1 ? exactAwqRowScratch : exactAwqRowsScratch(many);
      const scratch = frame.take(threads * scratchBytes);
      for (let t = 0; t < T; t += ROWS) {
        const rows = Math.min(ROWS, T - t);
        const single = rows === 1;
        const sums = single ? new Int32Array(bank.buffer, sumsAt, 2 * chunks) : null;
        for (let r = 0; r < rows; r++) {
          const e = writeDigits(bank, digitsAt + r * (PAIR / 2) * K, sums, x, t + r, K, groupSize, bits, fixedRow(K));
          views.f64[powersAt / 8 + r] = 2 ** e;
        }
        // An odd last row has a row of zeros beside it.
        const even = rows + (rows & 1);
        if (!single && even > rows) views.bytes.fill(0, digitsAt + rows * (PAIR / 2) * K, digitsAt + even * (PAIR / 2) * K);
        const [qweightAt, qzerosAt, scalesAt] = addresses as [number, number, number];
        const step = stepOf(units, UNITS, threads, (rows * K * N) / 2);
        if (single) {
          args.set([digitsAt, sumsAt, qweightAt, qzerosAt, scalesAt, biasAt, outAt, K, N / 8, groupSize, powersAt]);
          team.run(bank, rowKernel, scratch, scratchBytes, units, step);
        } else {
          args.set([digitsAt, qweightAt, qzerosAt, scalesAt, biasAt, outAt, K, N / 8, groupSize, powersAt, even, rows]);
          team.run(bank, rowsKernel, scratch, scratchBytes, units, step);
        }
        readSingles(bank, outAt, out, t * N, rows * N);
      }
    };
  };

  const dense = (
    { inFeatures: K, outFeatures: N, dtype, data }: DenseMatrix,
    rows: DenseRows,
    bias: Float32Array | null,
  ): ExactLinearOp => {
    const units = Math.ceil(N / TILE);
    return (out, x, T, bits) => {
      checkLength("linear", "x", x, T * K);
      checkLength("linear", "out", out, T * N);
      const { bank, addresses } = locate(banks, [data], exactFrameBytes(K, N, threads));
      const frame = frameOf(bank);
      const { f64 } = viewsOf(bank);
      const most = Math.min(ROWS, T);
      const wholeAt = frame.take(foursBytes(most, K));
      const digitsAt = frame.take(foursBytes(2 * most, K));
      const roundingAt = frame.take(8 * TILE * units);
      const normsAt = frame.take(8 * units);
      const powersAt = frame.take(8 * (1 + ROWS));
      const outAt = frame.take(4 * ROWS * N);
      const biasAt = bias ? frame.take(4 * N) : 0;
      if (bias) writeSingles(bank, biasAt, bias);
      f64.set(rows.rounding, roundingAt / 8);
      f64.set(rows.norms, normsAt / 8);
      const scratchBytes = exactMatmulScratch(most);
      const scratch = frame.take(threads * scratchBytes);
      for (let t = 0; t < T; t += ROWS) {
        const count = Math.min(ROWS, T - t);
        let longest = 0;
        for (let r = 0; r < count; r++) {
          const places = { whole: wholeAt, digits: digitsAt };
          const { exponent, norm } = writeHalves(bank, places, x, t + r, r, count, K, bits, scaleOf[dtype].x, fixedRow(K));
          f64[powersAt / 8 + 1 + r] = 2 ** exponent * scaleOf[dtype].sum;
          longest = Math.max(longest, norm);
        }
        f64[powersAt / 8] = (2 ** 53 * MARGIN) / longest;
        args.set([wholeAt, digitsAt, addresses[0]!, roundingAt, normsAt, powersAt, biasAt, outAt, K, N, count]);
        team.run(bank, denseKernels[dtype], scratch, scratchBytes, units, stepOf(units, 1, threads, count * K * N));
        readSingles(bank, outAt, out, t * N, count * N);
      }
    };
  };

  return (layer) => {
    const { weight, bias } = layer;
    const values = bias === null ? null : bias.map(clean);
    if (weight.kind === "dense") {
      const rows = denseRows(weight);
      return rows ? dense(weight, rows, values) : reference(layer);
    }
    const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
    const shaped = N % 8 === 0 && G % 2 === 0 && K % G === 0;
    const filled = qweight.length === (K * N) / 8 && qzeros.length === ((K / G) * N) / 8 && scales.length === (K / G) * N;
    if (!shaped || !filled || scales.some((bits) => (bits & 0x7c00) === 0x7c00) || !addsExactly(weight)) return reference(layer);
    return awq(weight, values);
  };
}

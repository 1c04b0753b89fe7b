/** int4 linears of `exact` over their kernels: rows of x as pairs of digits, one row or several. */
import { f16Values } from "../core/dtype.ts";
import { exactAwq } from "../core/exact/linear.ts";
import type { ExactLinearOp } from "../core/exact/ops.ts";
import { fixInto, type Width } from "../core/exact/rows.ts";
import { type AwqMatrix, checkLength } from "../core/tensor.ts";
import { frameOf, readSingles, viewsOf, writeSingles } from "./frame.ts";
import { UNIT_COLUMNS } from "./kernels/awq-units.ts";
import { CHUNK, PAIR, UNITS } from "./kernels/exact-awq.ts";
import { exactAwqRowScratch } from "./kernels/exact-awq-row.ts";
import { exactAwqRowsScratch } from "./kernels/exact-awq-rows.ts";
import { locate, ROWS, stepOf } from "./linears.ts";
import type { Bank } from "./memory/bank.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const rowKernel = kernelIndex("exact-awq-row");
const rowsKernel = kernelIndex("exact-awq-rows");

/** Frame bytes of a linear with up to K inputs and N outputs. */
export const exactAwqFrameBytes = (K: number, N: number, threads: number): number =>
  (ROWS * PAIR * K) / 2 + 8 * K + 4 * (ROWS + 1) * N + threads * Math.max(exactAwqRowScratch, exactAwqRowsScratch(ROWS)) + 2048;

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

/** Whether the kernels take a matrix: well formed, finite, groups of whole pairs of rows, and sums that f64 holds. */
export function takesExactAwq(matrix: AwqMatrix): boolean {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = matrix;
  if (N % 8 !== 0 || G % 2 !== 0 || K % G !== 0) return false;
  if (qweight.length !== (K * N) / 8 || qzeros.length !== ((K / G) * N) / 8 || scales.length !== (K / G) * N) return false;
  return scales.every((bits) => (bits & 0x7c00) !== 0x7c00) && addsExactly(matrix);
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

/** @param fixedRow room for a row of x as integers, for K at least */
export function exactAwqLinear(
  team: Team,
  banks: Banks,
  fixedRow: (K: number) => Int32Array,
  matrix: AwqMatrix,
  bias: Float32Array | null,
): ExactLinearOp {
  const { args, threads } = team;
  const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = matrix;
  const chunks = (K / groupSize) * Math.ceil(groupSize / CHUNK);
  const units = Math.ceil(N / UNIT_COLUMNS);
  return (out, x, T, bits) => {
    checkLength("linear", "x", x, T * K);
    checkLength("linear", "out", out, T * N);
    const { bank, addresses } = locate(banks, [qweight, qzeros, scales], exactAwqFrameBytes(K, N, threads));
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
}

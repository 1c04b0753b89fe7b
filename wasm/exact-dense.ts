/** Dense linears of `exact` over their kernels: W as it is stored, x whole and in halves. */
import type { ExactLinearOp } from "../core/exact/ops.ts";
import { fixInto, rowExponent, type Width } from "../core/exact/rows.ts";
import { widenRow } from "../core/ops/embedding.ts";
import { checkLength, type DenseMatrix } from "../core/tensor.ts";
import { foursBytes, frameOf, readSingles, viewsOf, writeSingles } from "./frame.ts";
import { exactMatmulScratch } from "./kernels/exact-matmul.ts";
import { scaleOf } from "./kernels/expand.ts";
import { FOUR, TILE } from "./kernels/tile-product.ts";
import { locate, ROWS, stepOf } from "./linears.ts";
import type { Bank } from "./memory/bank.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const kernels = {
  F16: kernelIndex("exact-matmul-f16"),
  BF16: kernelIndex("exact-matmul-bf16"),
  F32: kernelIndex("exact-matmul-f32"),
} as const;

/** Frame bytes of a linear with up to K inputs and N outputs. */
export const exactDenseFrameBytes = (K: number, N: number, threads: number): number =>
  foursBytes(ROWS, K) + foursBytes(2 * ROWS, K) + 9 * N + 4 * (ROWS + 1) * N + threads * exactMatmulScratch(ROWS) + 2048;

/** Norms in f64 are off by less than this. */
const MARGIN = 1 - 2 ** -20;

/** What the kernel of a dense matrix needs to know of its rows, none of it large beside the matrix. */
export interface DenseRows {
  /** [N] 1.5 · 2^52 units of each row (kernels/expand.ts). */
  readonly rounding: Float64Array;
  /** [N/16] the largest norm of a unit's rows as integers. */
  readonly norms: Float64Array;
}

/** Rows whose largest number is smaller than this, and not 0, are left to the reference: their units are too near to where f64 ends. */
const LEAST_ROW = 2 ** -90;

/** @returns undefined where the reference has to do it */
export function denseRows(matrix: DenseMatrix): DenseRows | undefined {
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

/** @param fixedRow room for a row of x as integers, for K at least */
export function exactDenseLinear(
  team: Team,
  banks: Banks,
  fixedRow: (K: number) => Int32Array,
  { inFeatures: K, outFeatures: N, dtype, data }: DenseMatrix,
  rows: DenseRows,
  bias: Float32Array | null,
): ExactLinearOp {
  const { args, threads } = team;
  const units = Math.ceil(N / TILE);
  return (out, x, T, bits) => {
    checkLength("linear", "x", x, T * K);
    checkLength("linear", "out", out, T * N);
    const { bank, addresses } = locate(banks, [data], exactDenseFrameBytes(K, N, threads));
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
      team.run(bank, kernels[dtype], scratch, scratchBytes, units, stepOf(units, 1, threads, count * K * N));
      readSingles(bank, outAt, out, t * N, count * N);
    }
  };
}

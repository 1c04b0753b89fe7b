/**
 * Linears over kernels: where operands lie, which kernel runs, how it is divided among threads. Same checks, errors and bits as
 * core/ops/awq-matmul.ts and core/ops/matmul.ts.
 */
import { GureumError } from "../core/errors.ts";
import { awqMatmul } from "../core/ops/awq-matmul.ts";
import { awqMatmulFixed16 } from "../core/ops/awq-matmul-fixed16.ts";
import { matmul } from "../core/ops/matmul.ts";
import { FIXED16_BLOCK, quantizeFixed16 } from "../core/quant/fixed16.ts";
import type { AwqMatrix, DenseMatrix, Matrix } from "../core/tensor.ts";
import { checkLength } from "../core/tensor.ts";
import { foursBytes, frameOf, readSingles, viewsOf, writeFours, writeRow, writeSingles } from "./frame.ts";
import { PAIRS } from "./kernels/awq.ts";
import { awqMatmulScratch } from "./kernels/awq-matmul.ts";
import { awqMatmulFixed16Scratch, UNITS } from "./kernels/awq-matmul-fixed16.ts";
import { awqMatmulRowsScratch } from "./kernels/awq-matmul-rows.ts";
import { UNIT_COLUMNS } from "./kernels/awq-units.ts";
import { scaleOf } from "./kernels/expand.ts";
import { matmulScratch } from "./kernels/matmul.ts";
import { TILE } from "./kernels/tile-product.ts";
import type { Bank } from "./memory/bank.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

/** Rows that go through a kernel together; any number gives the same bits. */
export const ROWS = 16;
/** Multiply-adds below which waking other threads costs more than they save. */
const WORTH_SHARING = 1 << 18;

const largestKernel = kernelIndex("largest");
const awqKernel = kernelIndex("awq-matmul");
const awqRowsKernel = kernelIndex("awq-matmul-rows");
const fixed16Kernel = kernelIndex("awq-matmul-fixed16");
const denseKernels = { F16: kernelIndex("matmul-f16"), BF16: kernelIndex("matmul-bf16"), F32: kernelIndex("matmul-f32") } as const;

/** Frame bytes of a linear with up to K inputs and N outputs. */
export function linearFrameBytes(K: number, N: number, threads: number): number {
  const scratch = Math.max(awqMatmulScratch, awqMatmulRowsScratch(ROWS), awqMatmulFixed16Scratch, matmulScratch(ROWS));
  return foursBytes(ROWS, K) + 4 * (ROWS + 1) * N + threads * scratch + 1024;
}

/** The bank that holds `arrays`, or one that they are copied to for this call; and their addresses in it. */
export function locate(banks: Banks, arrays: readonly BitArray[], frameBytes: number): { bank: Bank; addresses: number[] } {
  const [first] = arrays;
  const home = banks.find(first!.buffer);
  if (home && arrays.every((array) => array.buffer === first!.buffer) && frameBytes <= home.end - home.frame)
    return { bank: home, addresses: arrays.map((array) => array.byteOffset) };
  return banks.visit(arrays, frameBytes);
}

type BitArray = AwqMatrix["qweight"] | DenseMatrix["data"];

/** Most chunks per thread: a slow thread takes fewer, and the last ones end close together. */
const CHUNKS = 32;

/**
 * Units of work a chunk, a multiple of `least`: all for one thread, else what lets as many threads end soonest, and the smallest such chunks. What
 * matters is the last round: seven chunks take two threads as long as eight.
 */
export function stepOf(units: number, least: number, threads: number, work: number): number {
  if (threads === 1 || work < WORTH_SHARING) return units;
  let best = units;
  let soonest = units;
  for (let step = Math.ceil(units / least) * least; step > 0; step -= least) {
    const chunks = Math.ceil(units / step);
    if (chunks > CHUNKS * threads) break;
    const ends = Math.ceil(chunks / threads) * step;
    if (ends <= soonest) {
      best = step;
      soonest = ends;
    }
  }
  return best;
}

export interface Linears {
  awqMatmul(out: Float32Array, x: Float32Array, weight: AwqMatrix, bias: Float32Array | null, T: number): void;
  awqMatmulFixed16(out: Float32Array, x: Float32Array, weight: AwqMatrix, bias: Float32Array | null, T: number): void;
  matmul(out: Float32Array, x: Float32Array, weight: DenseMatrix, bias: Float32Array | null, T: number): void;
}

export function makeLinears(team: Team, banks: Banks): Linears {
  const { args, threads } = team;
  const finite = new WeakMap<Matrix, boolean>();

  /** Whether 16-bit floats are all finite; found out once a matrix. */
  const allFinite = (matrix: Matrix, bank: Bank, address: number, data: Uint16Array, firstInfinite: number): boolean => {
    let known = finite.get(matrix);
    if (known === undefined) {
      const out = bank.frame;
      bank.kernels[team.nameOf(largestKernel)]!(out, address, data.byteLength & -16);
      const { bytes } = viewsOf(bank);
      const most = new Uint16Array(bytes.slice(out, out + 16).buffer);
      const rest = data.subarray((data.byteLength & -16) / 2);
      known = [...most, ...rest].every((bits) => (bits & 0x7fff) < firstInfinite);
      finite.set(matrix, known);
    }
    return known;
  };

  return {
    awqMatmul(out, x, weight, bias, T) {
      const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
      const groups = K / groupSize;
      const whole = N % 8 === 0 && K % groupSize === 0;
      if (!whole || qweight.length !== (K * N) / 8 || qzeros.length !== (groups * N) / 8 || scales.length !== groups * N) {
        awqMatmul(out, x, weight, bias, T); // refuses it
        return;
      }
      checkLength("awqMatmul", "x", x, T * K);
      checkLength("awqMatmul", "out", out, T * N);
      if (bias) checkLength("awqMatmul", "bias", bias, N);
      const { bank, addresses } = locate(banks, [qweight, qzeros, scales], linearFrameBytes(K, N, threads));
      if (!allFinite(weight, bank, addresses[2]!, scales, 0x7c00)) {
        awqMatmul(out, x, weight, bias, T);
        return;
      }
      const frame = frameOf(bank);
      const xAt = frame.take(foursBytes(Math.min(T, ROWS), K));
      const outAt = frame.take(4 * ROWS * N);
      const biasAt = bias ? frame.take(4 * N) : 0;
      if (bias) writeSingles(bank, biasAt, bias.subarray(0, N));
      const scratchBytes = Math.max(awqMatmulScratch, awqMatmulRowsScratch(ROWS));
      const scratch = frame.take(threads * scratchBytes);
      const units = Math.ceil(N / TILE);
      for (let t = 0; t < T; t += ROWS) {
        const rows = Math.min(ROWS, T - t);
        if (rows === 1) writeRow(bank, xAt, x, t, K);
        else writeFours(bank, xAt, x, t, rows, K, 1);
        args[0] = xAt;
        for (let i = 0; i < 3; i++) args[1 + i] = addresses[i]!;
        args[4] = biasAt;
        args[5] = outAt;
        args[6] = K;
        args[7] = N / 8;
        args[8] = groupSize;
        args[9] = rows;
        if (rows === 1) team.run(bank, awqKernel, scratch, scratchBytes, units, stepOf(units, PAIRS, threads, K * N));
        else team.run(bank, awqRowsKernel, scratch, scratchBytes, units, stepOf(units, PAIRS, threads, rows * K * N));
        readSingles(bank, outAt, out, t * N, rows * N);
      }
    },
    awqMatmulFixed16(out, x, weight, bias, T) {
      const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
      checkLength("awqMatmulFixed16", "x", x, T * K);
      const reference = (): void => awqMatmulFixed16(out, quantizeFixed16(x.subarray(0, T * K), T, K), weight, bias);
      if (N % 8 !== 0 || K % groupSize !== 0 || groupSize % FIXED16_BLOCK !== 0) {
        reference(); // refuses it
        return;
      }
      checkLength("awqMatmulFixed16", "out", out, T * N);
      if (bias) checkLength("awqMatmulFixed16", "bias", bias, N);
      const { bank, addresses } = locate(banks, [qweight, qzeros, scales], linearFrameBytes(K, N, threads));
      if (!allFinite(weight, bank, addresses[2]!, scales, 0x7c00)) {
        reference();
        return;
      }
      const frame = frameOf(bank);
      const blocks = K / FIXED16_BLOCK;
      const valuesAt = frame.take(2 * K);
      const stepsAt = frame.take(4 * blocks);
      const sumsAt = frame.take(4 * blocks);
      const row = {
        values: new Int16Array(bank.buffer, valuesAt, K),
        scales: new Float32Array(bank.buffer, stepsAt, blocks),
        sums: new Int32Array(bank.buffer, sumsAt, blocks),
      };
      const outAt = frame.take(4 * N);
      const biasAt = bias ? frame.take(4 * N) : 0;
      if (bias) writeSingles(bank, biasAt, bias.subarray(0, N));
      const scratch = frame.take(threads * awqMatmulFixed16Scratch);
      const units = Math.ceil(N / UNIT_COLUMNS);
      for (let t = 0; t < T; t++) {
        quantizeFixed16(x.subarray(t * K, (t + 1) * K), 1, K, FIXED16_BLOCK, row);
        // Steps so large that the kernel's product of step and scale could overflow where the reference's does not.
        if (row.scales.some((step) => step > 2 ** 87)) {
          reference();
          return;
        }
        args[0] = valuesAt;
        args[1] = stepsAt;
        args[2] = sumsAt;
        for (let i = 0; i < 3; i++) args[3 + i] = addresses[i]!;
        args[6] = biasAt;
        args[7] = outAt;
        args[8] = K;
        args[9] = N / 8;
        args[10] = groupSize;
        team.run(bank, fixed16Kernel, scratch, awqMatmulFixed16Scratch, units, stepOf(units, UNITS, threads, (K * N) / 4));
        readSingles(bank, outAt, out, t * N, N);
      }
    },
    matmul(out, x, weight, bias, T) {
      const { inFeatures: K, outFeatures: N, dtype, data } = weight;
      checkLength("matmul", "x", x, T * K);
      checkLength("matmul", "out", out, T * N);
      if (data.length !== N * K)
        throw new GureumError("shape", { where: "matmul", what: "weight", expected: `${N} x ${K} elements`, got: `${data.length}` });
      if (bias) checkLength("matmul", "bias", bias, N);
      const { bank, addresses } = locate(banks, [data], linearFrameBytes(K, N, threads));
      if (dtype !== "F32" && !allFinite(weight, bank, addresses[0]!, data as Uint16Array, dtype === "F16" ? 0x7c00 : 0x7f80)) {
        matmul(out, x, weight, bias, T);
        return;
      }
      const frame = frameOf(bank);
      const xAt = frame.take(foursBytes(Math.min(T, ROWS), K));
      const outAt = frame.take(4 * ROWS * N);
      const biasAt = bias ? frame.take(4 * N) : 0;
      if (bias) writeSingles(bank, biasAt, bias.subarray(0, N));
      const scratchBytes = matmulScratch(ROWS);
      const scratch = frame.take(threads * scratchBytes);
      const units = Math.ceil(N / TILE);
      for (let t = 0; t < T; t += ROWS) {
        const rows = Math.min(ROWS, T - t);
        writeFours(bank, xAt, x, t, rows, K, scaleOf[dtype].x);
        args[0] = xAt;
        args[1] = addresses[0]!;
        args[2] = biasAt;
        args[3] = outAt;
        args[4] = K;
        args[5] = N;
        args[6] = rows;
        team.run(bank, denseKernels[dtype], scratch, scratchBytes, units, stepOf(units, 1, threads, rows * K * N));
        readSingles(bank, outAt, out, t * N, rows * N);
      }
    },
  };
}

/** How the forward pass in `exact` records a norm, digits and a linear: by which kernels for how many rows. */

import type { LlamaConfig } from "../../core/config.ts";
import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { exactAdd } from "../kernels/exact/exact-add.ts";
import { exactAwq } from "../kernels/exact/exact-awq.ts";
import { exactAwqColumns } from "../kernels/exact/exact-awq-columns.ts";
import { exactAwqColumns4 } from "../kernels/exact/exact-awq-columns-4.ts";
import { exactAwqMatrix } from "../kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../kernels/exact/exact-awq-matrix-4.ts";
import { exactAwqRow, tuneRow } from "../kernels/exact/exact-awq-row.ts";
import { exactAwqStored } from "../kernels/exact/exact-awq-stored.ts";
import { exactAwqTile } from "../kernels/exact/exact-awq-tile.ts";
import { exactAwqWords, tuneWords, workgroupsOf } from "../kernels/exact/exact-awq-words.ts";
import { exactDense } from "../kernels/exact/exact-dense.ts";
import { exactDenseMatrix } from "../kernels/exact/exact-dense-matrix.ts";
import { exactDenseTile } from "../kernels/exact/exact-dense-tile.ts";
import { type Digits, exactDigits } from "../kernels/exact/exact-digits.ts";
import { exactHandedDigits, HANDED_LANES } from "../kernels/exact/exact-handed-digits.ts";
import { exactNorm } from "../kernels/exact/exact-norm.ts";
import { exactNormDigits } from "../kernels/exact/exact-norm-digits.ts";
import { exactSiluDigits } from "../kernels/exact/exact-silu-digits.ts";
import { exactSiluMul } from "../kernels/exact/exact-silu-mul.ts";
import type { ExactGpuLinear, ExactGpuPacked, JoinedLinear } from "../model/exact-weights.ts";
import type { Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { COLUMN_STEP, MOST_COLUMN_INPUTS } from "../wgsl/exact-columns.ts";
import { MATRIX_STEP } from "../wgsl/exact-matrix-tile.ts";
import { MOST_ROW_INPUTS } from "../wgsl/exact-quads.ts";
import type { OutputParts } from "../wgsl/exact-tile.ts";
import type { ExactContext, ExactMarks } from "./exact-buffers.ts";

/** From so many rows on, linears go by tiles. */
export const MANY_ROWS = 5;
/** Workgroups that share one row of digits, where it is the only one: a lane makes one word. */
const partsOf = (K: number, lanes: number): number => Math.ceil(K / 4 / lanes);
const few: Span = { from: 1, to: MANY_ROWS };
const many: Span = { from: MANY_ROWS, to: Infinity };

/** A norm over D components, as its kernels take it. */
export const normOf = ({ rmsNormEps }: LlamaConfig, D: number): { D: number; inverse: number; eps: number } => ({
  D,
  inverse: bitsOf(nearest(1 / D)),
  eps: bitsOf(nearest(rmsNormEps)),
});

/** How the digits of many rows lie for a linear: by steps where it goes by columns, else as blocks come. Tiles read no sums of them. */
const manyAs = (
  { matrices }: ExactContext,
  weight: ExactGpuLinear["weight"],
  P: Digits,
): { unit: number; step: number; summed: false; norms?: boolean } => ({
  summed: false,
  ...(matrices && weight.kind === "packed" && weight.columns
    ? { unit: weight.unit, step: COLUMN_STEP }
    : matrices && weight.kind === "packed" && joins(weight)
      ? { unit: 1, step: MATRIX_STEP, norms: P === 3 }
      : { unit: 1, step: 0 }),
});
/** Whether a linear goes by matrices whose sums are joined with their scales, where it does not go by columns. */
const joins = ({ K, groupSize }: Pick<ExactGpuPacked, "K" | "groupSize">): boolean => K % 128 === 0 && groupSize % 128 === 0;

/** What a linear's digits are made of. */
interface Words {
  readonly buffer: GPUBuffer;
  readonly label: string;
  /** Words behind one row, the largest of which is its own; absent or 0 without. */
  readonly tops?: number;
  /** Those of many rows lie in c.a already. */
  readonly made?: boolean;
}

/** x [T, K] as digits in c.a, for a linear; blocks lie as who reads them wants. */
export function recordDigits(
  recorder: Recorder,
  c: ExactContext,
  { buffer: x, label, tops = 0, made = false }: Words,
  { weight }: Pick<ExactGpuLinear, "weight">,
  P: Digits,
): void {
  const { a, oneRow, lanes } = c;
  const buffers = { x, digits: a.digits, sums: a.sums, exponents: a.exponents };
  const shape = { K: weight.K, P, ...(oneRow ? { lanes, parts: partsOf(weight.K, lanes) } : {}) };
  const unit = weight.kind === "packed" ? weight.unit : 1;
  if (tops > 0) {
    recordKernel(recorder, exactHandedDigits, buffers, { K: weight.K, P, tops, lanes: Math.min(lanes, HANDED_LANES), unit }, { label });
    return;
  }
  if (oneRow || weight.kind !== "packed") {
    recordKernel(recorder, exactDigits, buffers, { ...shape, unit }, { label });
    return;
  }
  recordKernel(recorder, exactDigits, buffers, { ...shape, unit }, { label, rows: few });
  if (!made) recordKernel(recorder, exactDigits, buffers, { ...shape, ...manyAs(c, weight, P) }, { label, rows: many });
}

/** a.gate = silu(a.gate) · a.up, and of many rows its digits for down_proj. @returns whether these are made */
export function recordSiluMul(recorder: Recorder, c: ExactContext, { weight }: Pick<ExactGpuLinear, "weight">, label: string): boolean {
  const { a, config, lanes, oneRow } = c;
  const width = config.intermediateSize;
  const gate = { buffer: a.gate, size: 4 * a.rows * width };
  const made = !oneRow && weight.kind === "packed" && width % 32 === 0;
  recordKernel(recorder, exactSiluMul, { gate, up: a.up }, { width }, made ? { label, rows: few } : { label });
  if (made) {
    const buffers = { gate, up: a.up, digits: a.digits, exponents: a.exponents };
    recordKernel(recorder, exactSiluDigits, buffers, { K: width, lanes, ...manyAs(c, weight, 4) }, { label, rows: many });
  }
  return made;
}

/** The norm of a.x as digits, for linears that read it; by way of a.normed where that is looked at. */
export function recordNormed(
  recorder: Recorder,
  c: ExactContext,
  weight: GPUBuffer,
  reader: Pick<ExactGpuLinear, "weight">,
  marks: ExactMarks,
  name: string,
): void {
  const { a, config, lanes, oneRow, sequence } = c;
  const D = config.hiddenSize;
  const norm = normOf(config, D);
  if (marks.wants(name)) {
    recordKernel(recorder, exactNorm, { step: sequence.step, x: a.x, weight, out: a.normed }, norm, { label: name });
    marks.mark(name, a.normed);
    recordDigits(recorder, c, { buffer: a.normed, label: name }, reader, 3);
    return;
  }
  const buffers = { x: a.x, weight, digits: a.digits, sums: a.sums, exponents: a.exponents };
  const unit = reader.weight.kind === "packed" ? reader.weight.unit : 1;
  const shape = { ...norm, ...(oneRow ? { lanes, parts: partsOf(D, lanes) } : { lanes: Math.min(lanes, 256), parts: 1 }) };
  if (oneRow || reader.weight.kind !== "packed") recordKernel(recorder, exactNormDigits, buffers, { ...shape, unit }, { label: name });
  else {
    recordKernel(recorder, exactNormDigits, buffers, { ...shape, unit }, { label: name, rows: few });
    recordKernel(recorder, exactNormDigits, buffers, { ...shape, ...manyAs(c, reader.weight, 3) }, { label: name, rows: many });
  }
}

/** How a linear's result is left. */
interface Left {
  readonly P?: Digits;
  readonly adds?: boolean;
  /** Of one row of digits, however large T is. */
  readonly oneRow?: boolean;
  /** For few rows alone, or for many of a repacked linear, where `parts` says how outputs lie. */
  readonly rows?: "few" | "many";
  readonly parts?: OutputParts;
}

/** out = (adds: out +) the linear of the digits in c.a. */
export function recordLinear(
  recorder: Recorder,
  c: ExactContext,
  { weight, bias }: ExactGpuLinear,
  out: BufferArg,
  { P = 3, adds = false, oneRow = false, rows, parts }: Left,
  label: string,
): void {
  const { a, sequence } = c;
  const { step } = sequence;
  if (c.oneRow && weight.kind === "packed" && weight.K <= MOST_ROW_INPUTS) {
    recordRow(recorder, c, { weight, bias }, out, { P, adds, paired: false }, label);
    return;
  }
  const { digits, sums, exponents } = a;
  const shared = { step, digits, exponents, bias: bias ?? a.nothing, out };
  const tile = c.oneRow || oneRow ? 1 : MANY_ROWS - 1;
  const shape = { K: weight.K, P, hasBias: bias !== null, adds, tile };
  const when = tile === 1 ? { label } : { label, rows: few };
  if (weight.kind === "packed") {
    const { weights, groups, bases, columns, N, groupSize, unit, firstRow, spread } = weight;
    const packed = { ...shape, N, groupSize, unit, firstRow };
    if (rows !== "many") recordKernel(recorder, exactAwq, { ...shared, sums, weights, groups }, packed, when);
    if (tile > 1 && rows !== "few") {
      const kernel = !c.matrices
        ? exactAwqTile
        : columns
          ? [exactAwqColumns, exactAwqColumns4][P - 3]!
          : joins(weight)
            ? [exactAwqMatrix, exactAwqMatrix4][P - 3]!
            : exactAwqTile;
      const buffers = { ...shared, sums, weights, groups, bases };
      recordKernel(recorder, kernel, buffers, { ...packed, spread, ...(parts ? { parts } : {}) }, { label, rows: many });
    }
  } else if (weight.kind === "awq") {
    for (const { firstColumn, N, ...piece } of weight.pieces)
      recordKernel(
        recorder,
        exactAwqStored,
        { ...shared, ...piece },
        { ...shape, N, groupSize: weight.groupSize, firstColumn, columns: weight.N },
        { label },
      );
  } else {
    for (const { firstColumn, N, ...piece } of weight.pieces) {
      const dense = { ...shape, N, firstColumn, columns: weight.N };
      recordKernel(recorder, exactDense, { ...shared, ...piece }, { ...dense, oneRow }, when);
      const kernel = c.matrices && weight.K <= MOST_COLUMN_INPUTS ? exactDenseMatrix : exactDenseTile;
      if (tile > 1) recordKernel(recorder, kernel, { ...shared, ...piece }, dense, { label, rows: many });
    }
  }
}

/** One row by repacked weights; `paired`: gate and up, their products with SiLU into `out`. */
export function recordRow(
  recorder: Recorder,
  { a }: ExactContext,
  { weight, bias }: JoinedLinear,
  out: BufferArg,
  { P, adds, paired }: { readonly P: Digits; readonly adds: boolean; readonly paired: boolean },
  label: string,
): void {
  const { weights, groups, bases, spread, K, groupSize, firstRow, unit } = weight;
  const { digits, sums, exponents } = a;
  const N = paired ? weight.N / 2 : weight.N;
  const shape = { K, N, P, groupSize, unit, firstRow, hasBias: bias !== null, adds, paired, spread, ...tuneRow(K, weight.N, unit) };
  const buffers = { digits, sums, exponents, weights, groups, bases, bias: bias ?? a.nothing, out };
  recordKernel(recorder, exactAwqRow, buffers, shape, { label });
}

/**
 * The same of a row of words, or of its norm where `norm` has the weights of one. Gives the workgroups, each of which leaves a word behind `out` where it is
 * `paired`; 0 where a workgroup cannot hold such a row: nothing is recorded then.
 */
export function recordWords(
  recorder: Recorder,
  { a, config, limits }: ExactContext,
  { weight, bias }: JoinedLinear,
  x: GPUBuffer,
  out: BufferArg,
  { norm, P, adds, paired }: { readonly norm: GPUBuffer | null; readonly P: Digits; readonly adds: boolean; readonly paired: boolean },
  label: string,
): number {
  const { weights, groups, bases, spread, K, groupSize, firstRow, unit } = weight;
  const N = paired ? weight.N / 2 : weight.N;
  const given = { K, N, P, groupSize, unit, firstRow, hasBias: bias !== null, adds, paired, spread };
  const shape = K <= MOST_ROW_INPUTS ? tuneWords({ ...given, norm: norm && normOf(config, K) }, limits) : null;
  if (!shape) return 0;
  const buffers = { x, scale: norm ?? a.nothing, weights, groups, bases, bias: bias ?? a.nothing, out };
  recordKernel(recorder, exactAwqWords, buffers, shape, { label });
  return workgroupsOf(shape);
}

/** a.x += the linear of x, which comes as words, `tops` behind them; by way of a.branch where that is looked at. */
export function recordBranch(
  recorder: Recorder,
  c: ExactContext,
  { weight, bias }: ExactGpuLinear,
  x: Words,
  P: Digits,
  marks: ExactMarks,
  name: string,
): void {
  const { a, config } = c;
  const looked = marks.wants(name);
  if (c.oneRow && !looked && weight.kind === "packed") {
    const left = { norm: null, P, adds: true, paired: false };
    if (recordWords(recorder, c, { weight, bias }, x.buffer, a.x, left, name) > 0) return;
  }
  recordDigits(recorder, c, x, { weight }, P);
  if (!looked) {
    recordLinear(recorder, c, { weight, bias }, a.x, { P, adds: true }, name);
    return;
  }
  recordLinear(recorder, c, { weight, bias }, a.branch, { P }, name);
  marks.mark(name, a.branch);
  recordKernel(recorder, exactAdd, { x: a.x, y: a.branch }, { width: config.hiddenSize }, { label: name });
}

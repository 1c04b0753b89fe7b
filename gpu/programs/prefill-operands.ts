/**
 * The two forms in which a prompt's activations meet its weights, each with the dispatches that make the form and
 * multiply it.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { siluMul } from "../kernels/plain/silu-mul.ts";
import { awqPrefillF16Matrix } from "../kernels/prefill/awq-prefill-f16-matrix.ts";
import { awqPrefillFixed16Matrix } from "../kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { above16, atMost16, awqRows16F16Matrix, rows16Pieces } from "../kernels/prefill/awq-rows16-f16-matrix.ts";
import { prefillDigits } from "../kernels/prefill/prefill-digits.ts";
import { prefillNormF16 } from "../kernels/prefill/prefill-norm-f16.ts";
import { prefillRowsF16 } from "../kernels/prefill/prefill-rows-f16.ts";
import { prefillSiluMulF16 } from "../kernels/prefill/prefill-silu-mul-f16.ts";
import type { GpuPacked } from "../model/tree.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { DIGITS_BLOCK } from "../wgsl/digits.ts";

/** Activations as operands: each step but `product` replaces what `product` multiplies. Buffers hold `rows` rows. */
export interface Operands {
  /** residual / √(mean residual² + eps) ∘ weight, once the pieces that the last product left of it are joined. */
  norm(residual: GPUBuffer, weight: GPUBuffer, pieces: number, label: string): void;
  /** The attention's result. */
  rows(attention: GPUBuffer, label: string): void;
  /** silu(x · gateᵀ) ∘ (x · upᵀ), the two side by side in one matrix. */
  gateUp(packed: GpuPacked, at: string): void;
  /**
   * y = x · Wᵀ of the matrix's first N rows, or y += where `add`. Gives the pieces in which up to 16 rows of y are left
   * behind each other, 16 rows apart, for their reader to join: with `add` those to be added to y, 0 where nothing is;
   * without it 1 or more.
   */
  product(packed: GpuPacked, N: number, y: GPUBuffer, add: boolean, label: string): number;
  /** Joins the pieces that the last product of all left of the residual; as `norm`, but nobody wants its result. */
  settle(residual: GPUBuffer, weight: GPUBuffer, pieces: number, label: string): void;
}

export interface OperandsContext {
  readonly memory: Memory;
  readonly recorder: Recorder;
  readonly config: LlamaConfig;
  readonly rows: number;
  readonly step: GPUBuffer;
}

const widest = ({ hiddenSize: D, intermediateSize: F, numAttentionHeads: H, headDim: Hd }: LlamaConfig): number => Math.max(D, F, H * Hd);

export const f16OperandKernels: readonly Kernel[] = [
  prefillNormF16,
  awqPrefillF16Matrix,
  awqRows16F16Matrix,
  prefillRowsF16,
  prefillSiluMulF16,
];

/** f16 numbers. */
export function f16Operands({ memory, recorder, config, rows }: OperandsContext): Operands {
  const { hiddenSize: K, intermediateSize: F, numAttentionHeads: H, headDim: Hd, rmsNormEps: eps } = config;
  const x = allocate(memory, "operands (prefill)", rows * widest(config) * 2);
  const both = allocate(memory, "gate, up (prefill)", rows * 2 * F * 4);
  /** Of the two the number of rows picks one. */
  const product = (packed: GpuPacked, N: number, y: GPUBuffer, add: boolean, pieces: number, label: string): number => {
    const { weights, groups, K, groupSize: group } = packed;
    const buffers = { x, weights, groups, y };
    recordKernel(recorder, awqRows16F16Matrix, buffers, { K, N, group, add, pieces }, { label, rows: atMost16 });
    recordKernel(recorder, awqPrefillF16Matrix, buffers, { K, N, group, add }, { label, rows: above16 });
    return pieces;
  };
  const settle = (residual: GPUBuffer, norm: GPUBuffer, pieces: number, label: string): void => {
    if (pieces > 0) recordKernel(recorder, prefillNormF16, { residual, norm, x }, { K, eps, pieces }, { label, rows: atMost16 });
  };
  return {
    norm(residual, norm, pieces, label) {
      settle(residual, norm, pieces, label);
      recordKernel(recorder, prefillNormF16, { residual, norm, x }, { K, eps }, { label, ...(pieces > 0 ? { rows: above16 } : {}) });
    },
    rows: (y, label) => recordKernel(recorder, prefillRowsF16, { y, x }, { K: H * Hd }, { label }),
    gateUp(packed, at) {
      product(packed, 2 * F, both, false, 1, `${at}gateUp`);
      recordKernel(recorder, prefillSiluMulF16, { y: both, x }, { F }, { label: `${at}siluMul` });
    },
    product: (packed, N, y, add, label) => product(packed, N, y, add, rows16Pieces(packed.K, N), label),
    settle,
  };
}

export const fixed16OperandKernels: readonly Kernel[] = [rmsNorm, prefillDigits, awqPrefillFixed16Matrix, siluMul];

/** Digits of fixed16 in blocks of 128 (gpu/wgsl/digits.ts). */
export function fixed16Operands({ memory, recorder, config, rows, step }: OperandsContext): Operands {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, headDim: Hd, rmsNormEps: eps } = config;
  const digits = allocate(memory, "digits (prefill)", rows * widest(config) * 2);
  const scales = allocate(memory, "digit scales (prefill)", rows * (widest(config) / DIGITS_BLOCK) * 4);
  const normed = allocate(memory, "normed (prefill)", rows * D * 4);
  const gate = allocate(memory, "gate (prefill)", rows * F * 4);
  const up = allocate(memory, "up (prefill)", rows * F * 4);
  const quantize = (x: GPUBuffer, K: number, label: string): void =>
    recordKernel(recorder, prefillDigits, { x, digits, scales }, { K }, { label });
  const product = (
    { K, groupSize: group, ...packed }: GpuPacked,
    firstRow: number,
    N: number,
    y: GPUBuffer,
    add: boolean,
    label: string,
  ): void => {
    const weights: BufferArg = { buffer: packed.weights, offset: (firstRow * K) / 2 };
    const groups: BufferArg = { buffer: packed.groups, offset: firstRow * (K / group) * 4 };
    recordKernel(recorder, awqPrefillFixed16Matrix, { digits, scales, weights, groups, y }, { K, N, group, add }, { label });
  };
  return {
    norm(residual, weight, _pieces, label) {
      recordKernel(recorder, rmsNorm, { step, x: residual, weight, out: normed }, { D, eps }, { label });
      quantize(normed, D, label);
    },
    rows: (y, label) => quantize(y, H * Hd, label),
    gateUp(packed, at) {
      product(packed, 0, F, gate, false, `${at}gate`);
      product(packed, F, F, up, false, `${at}up`);
      recordKernel(recorder, siluMul, { step, gate, up }, { width: F }, { label: `${at}siluMul` });
      quantize(gate, F, `${at}siluMul`);
    },
    product(packed, N, y, add, label) {
      product(packed, 0, N, y, add, label);
      return add ? 0 : 1;
    },
    settle() {},
  };
}

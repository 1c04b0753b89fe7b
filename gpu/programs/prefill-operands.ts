/**
 * The two forms in which a prompt's activations meet its weights, each with the dispatches that make the form and
 * multiply it.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { siluMul } from "../kernels/plain/silu-mul.ts";
import { awqPrefillFixed16Matrix } from "../kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { prefillDigits } from "../kernels/prefill/prefill-digits.ts";
import { normLanes, prefillNormF16 } from "../kernels/prefill/prefill-norm-f16.ts";
import { prefillRowsF16 } from "../kernels/prefill/prefill-rows-f16.ts";
import { prefillSiluMulF16 } from "../kernels/prefill/prefill-silu-mul-f16.ts";
import type { GpuLinear, GpuPacked } from "../model/tree.ts";
import type { Kernel, Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel, type When } from "../pipeline/recorder.ts";
import { DIGITS_BLOCK } from "../wgsl/digits.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { type Left, leftWhole, PANELS_FROM, recordGateUp, recordProduct } from "./prefill-products.ts";

/** What is still to be added to the residual: pieces of a product, and its bias. */
export interface Pending {
  readonly left: readonly Left[];
  readonly bias: GPUBuffer | null;
}
export const nothingPending: Pending = { left: leftWhole(true), bias: null };

/** Activations as operands: each step but `product` replaces what `product` multiplies. Buffers hold `rows` rows. */
export interface Operands {
  /** residual / √(mean residual² + eps) ∘ weight, once what is pending is added to the residual. */
  norm(residual: GPUBuffer, weight: GPUBuffer, pending: Pending, label: string): void;
  /** Numbers of rows on either side of the one from which on `eights` is in panels (gpu/wgsl/eights.ts), if it ever is. */
  byLayout(rows: Span, body: (rows: Span, panels: boolean) => void): void;
  /** Most splits of the keys whose results `rows` joins. */
  readonly splits: number;
  /** The attention's result, its splits joined by their `stats`; `when` it runs. */
  rows(attention: GPUBuffer, stats: GPUBuffer, splits: number, when: When): void;
  /** silu(x · gateᵀ + bias) ∘ (x · upᵀ + bias). */
  gateUp(linears: readonly GpuLinear[], at: string): void;
  /** y = x · Wᵀ of linears side by side, N outputs in all, or y += where `add`, but for biases; and how it leaves y. */
  product(linears: readonly GpuLinear[], N: number, y: GPUBuffer, add: boolean, label: string): readonly Left[];
  /** What `product` multiplies, where that is f16 rows in eights (gpu/wgsl/eights.ts): others may write it, and dense linears read it. */
  readonly eights: GPUBuffer | null;
  /** Adds what is pending after the last product of all; as `norm`, but nobody wants its result. */
  settle(residual: GPUBuffer, weight: GPUBuffer, pending: Pending, label: string): void;
}

export interface OperandsContext {
  readonly memory: Memory;
  readonly recorder: Recorder;
  readonly config: LlamaConfig;
  readonly rows: number;
  readonly step: GPUBuffer;
  /** Bound where there is no bias; not read. */
  readonly nothing: GPUBuffer;
}

const widest = ({ hiddenSize: D, intermediateSize: F, numAttentionHeads: H, headDim: Hd }: LlamaConfig): number => Math.max(D, F, H * Hd);

export const allRows: Span = { from: 1, to: Number.POSITIVE_INFINITY };
/** Rows whose norms leave most multiprocessors idle. */
const atMost64: Span = { from: 1, to: 65 };

/** What makes f16 operands, beside the products. */
export const f16OperandKernels: readonly Kernel[] = [prefillNormF16, prefillRowsF16, prefillSiluMulF16];

/** f16 numbers; with `panels`, where all linears are int4, in panels from so many rows on as the products want them so. */
export function f16Operands({ memory, recorder, config, rows, nothing }: OperandsContext, panels = false): Operands {
  const { hiddenSize: K, intermediateSize: F, numAttentionHeads: H, headDim: Hd, rmsNormEps: eps } = config;
  const x = allocate(memory, "operands (prefill)", rows * Math.max(K, H * Hd) * 2);
  const gated = allocate(memory, "gated operands (prefill)", rows * F * 2);
  const limits = workgroupLimits(memory.gpu.capabilities);
  let operands = x;
  /** Gate and up of dense linears, for all layers. */
  let both: GPUBuffer | undefined;
  /** Either side of the number of rows from which on x lies in panels. */
  const byLayout = ({ from, to }: Span, body: (rows: Span, panels: boolean) => void): void => {
    const border = panels ? Math.min(Math.max(from, PANELS_FROM), to) : to;
    if (from < border) body({ from, to: border }, false);
    if (border < to) body({ from: border, to }, true);
  };
  const norms = (residual: GPUBuffer, norm: GPUBuffer, { left, bias }: Pending, label: string, all: boolean): void => {
    const hasBias = bias !== null;
    for (const { rows, pieces, apart } of left) {
      if (!all && pieces === 0 && !hasBias) continue;
      const shape = { K, eps, pieces, apart, hasBias, lanes: normLanes(rows.to <= atMost64.to, limits) };
      byLayout(rows, (rows, panels) =>
        recordKernel(recorder, prefillNormF16, { residual, norm, bias: bias ?? nothing, x }, { ...shape, panels }, { label, rows }),
      );
    }
  };
  return {
    norm(residual, norm, pending, label) {
      norms(residual, norm, pending, label, true);
      operands = x;
    },
    byLayout,
    splits: 8,
    eights: x,
    rows: (y, stats, splits, when) =>
      byLayout(when.rows ?? allRows, (rows, panels) =>
        recordKernel(recorder, prefillRowsF16, { y, stats, x }, { K: H * Hd, Hd, splits, panels }, { ...when, rows }),
      ),
    gateUp(linears, at) {
      const { weight, extras } = linears[0]!;
      const shape = { F, hasBias: extras !== null };
      const bias = extras ?? nothing;
      if (weight.kind === "packed") {
        recordGateUp(recorder, { x, bias, out: gated }, weight, { ...shape, panels }, `${at}siluMul`);
      } else {
        both ??= allocate(memory, "gate, up (prefill)", rows * 2 * F * 4);
        recordProduct(recorder, x, linears, both, { N: 2 * F, add: false, whole: true, panels }, `${at}gateUp`);
        recordKernel(recorder, prefillSiluMulF16, { y: both, bias, x: gated }, shape, { label: `${at}siluMul` });
      }
      operands = gated;
    },
    product: (linears, N, y, add, label) => recordProduct(recorder, operands, linears, y, { N, add, whole: false, panels }, label),
    settle: (residual, norm, pending, label) => norms(residual, norm, pending, label, false),
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
    norm(residual, weight, _pending, label) {
      recordKernel(recorder, rmsNorm, { step, x: residual, weight, out: normed }, { D, eps }, { label });
      quantize(normed, D, label);
    },
    byLayout: (rows, body) => body(rows, false),
    splits: 1,
    eights: null,
    rows: (y, _stats, _splits, { label }) => quantize(y, H * Hd, label!),
    gateUp(linears, at) {
      const packed = linears[0]!.weight as GpuPacked;
      product(packed, 0, F, gate, false, `${at}gate`);
      product(packed, F, F, up, false, `${at}up`);
      recordKernel(recorder, siluMul, { step, gate, up }, { width: F }, { label: `${at}siluMul` });
      quantize(gate, F, `${at}siluMul`);
    },
    product(linears, N, y, add, label) {
      product(linears[0]!.weight as GpuPacked, 0, N, y, add, label);
      return leftWhole(add);
    },
    settle() {},
  };
}

/**
 * Prefill by subgroup matrices: operands f16 or digits of fixed16 (prefill-operands.ts), residual f32, attention in f16
 * with f32 sums, on repacked weights and an f16 cache. The same steps as core/model/llama.ts; each kernel's head
 * comment names the steps it covers.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { plainParts } from "../../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { attentionPrefillMatrix } from "../kernels/prefill/attention-prefill-matrix.ts";
import { above16, atMost16 } from "../kernels/prefill/awq-rows16-f16-matrix.ts";
import { prefillRopeF16 } from "../kernels/prefill/prefill-rope-f16.ts";
import { recordHead } from "../model/llama.ts";
import { packRefusal } from "../model/packing.ts";
import type { GpuLinear, GpuPacked } from "../model/tree.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, recordKernel } from "../pipeline/recorder.ts";
import { DIGITS_BLOCK } from "../wgsl/digits.ts";
import {
  f16OperandKernels,
  f16Operands,
  fixed16OperandKernels,
  fixed16Operands,
  type Operands,
  type OperandsContext,
} from "./prefill-operands.ts";
import { type Feeder, linearsOf, type Program, type ProgramContext, partRefusal } from "./program.ts";
import { type GpuArithmetic, manyRows } from "./steps.ts";

/** Rows of a tile; activations have room for a multiple of it. */
const TILE = 128;
const MOST_ROWS = 2048;
/** Bytes that the largest activation may take. */
const ACTIVATION_BYTES = 2 ** 28;

/** What the matrix kernels refuse: `multiple`, of which inputs and groups of the linears must be multiples. */
function matrixRefusal(multiple: number, config: LlamaConfig, refs: LlamaWeightRefs): Refusal | undefined {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  if (![32, 64, 128].includes(Hd)) return { code: "unsupported", reason: "it needs heads of 32, 64 or 128" };
  if ([D, 2 * F, (H + 2 * G) * Hd].some((N) => N % TILE !== 0))
    return { code: "unsupported", reason: "it needs linears of a multiple of 128 outputs" };
  const fits = (ref: LinearRef): boolean => ref.kind === "awq" && ref.inFeatures % multiple === 0 && ref.groupSize % multiple === 0;
  if (!linearsOf(refs).every(fits))
    return { code: "unsupported", reason: `it needs int4 linears, inputs and groups in multiples of ${multiple}` };
  return undefined;
}

/** Rows fed at a time: as many as the largest activation leaves room for, at most 2048. */
function matrixRows({ limits }: Capabilities, { intermediateSize: F }: LlamaConfig, maxContext: number): number {
  const most = Math.min(ACTIVATION_BYTES, limits.maxStorageBufferBindingSize);
  const fits = Math.max(TILE, Math.floor(most / (2 * F * 4) / TILE) * TILE);
  return Math.min(MOST_ROWS, fits, Math.ceil(maxContext / TILE) * TILE);
}

/**
 * Up to `chunk` tokens, the position of the first in sequence.step.start. `head` turns the last row into logits [V].
 */
async function preparePrefill(
  { memory, forward: c, logits, chunk }: ProgramContext,
  makeOperands: (context: OperandsContext) => Operands,
): Promise<Feeder> {
  const { config, weights, sequence } = c;
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const A = H * Hd;
  const { step, ids, ropeTable: table } = sequence;
  const padded = Math.ceil(chunk / TILE) * TILE;
  const room = (label: string, width: number, bytes: number): GPUBuffer => allocate(memory, label, padded * width * bytes);
  const residual = room("residual (prefill)", D, 4);
  const qkvOut = room("qkv (prefill)", (H + 2 * G) * Hd, 4);
  const q = room("q (prefill)", A, 2);
  const attention = room("attention (prefill)", A, 4);

  const layers = makeRecorder();
  const operands = makeOperands({ memory, recorder: layers, config, rows: padded, step });
  for (const { firstColumn: firstRow, N: rows, weight } of weights.embedTokens.pieces) {
    const shape = { dtype: weights.embedTokens.dtype, D, firstRow, rows };
    recordKernel(layers, embedding, { ids, table: weight, out: residual }, shape, { label: "embeddings" });
  }
  let pieces = 0; // of the residual
  for (const [i, layer] of weights.layers.entries()) {
    const at = `layers.${i}.`;
    const packed = (linear: GpuLinear): GpuPacked => linear.weight as GpuPacked;
    const cache = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    operands.norm(residual, layer.inputLayernorm.weight, pieces, `${at}inputLayernorm`);
    const qkvPieces = operands.product(packed(layer.qProj), (H + 2 * G) * Hd, qkvOut, false, `${at}qkv`);
    const turned = { y: qkvOut, table, q, ...cache, noted: sequence.noted, step };
    const label = `${at}rope`;
    if (qkvPieces > 1) recordKernel(layers, prefillRopeF16, turned, { H, G, Hd, pieces: qkvPieces }, { label, rows: atMost16 });
    recordKernel(layers, prefillRopeF16, turned, { H, G, Hd }, { label, ...(qkvPieces > 1 ? { rows: above16 } : {}) });
    const attended = { q, ...cache, out: attention, step };
    recordKernel(layers, attentionPrefillMatrix, attended, { H, G, Hd, window: config.slidingWindow }, { label: `${at}attention` });
    operands.rows(attention, `${at}attention`);
    pieces = operands.product(packed(layer.oProj), D, residual, true, `${at}attentionResidual`);
    operands.norm(residual, layer.postAttentionLayernorm.weight, pieces, `${at}postAttentionLayernorm`);
    operands.gateUp(packed(layer.gateProj), at);
    pieces = operands.product(packed(layer.downProj), D, residual, true, `${at}residual`);
  }
  operands.settle(residual, weights.norm.weight, pieces, "residual");
  const head = makeRecorder();
  const last = { step, x: residual, weight: weights.norm.weight, out: c.a.normed };
  recordKernel(head, rmsNorm, last, { D, eps, lastRow: true }, { label: "finalNorm" });
  recordHead(head, c, c.a.normed, logits, true);
  const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
  return { layers: preparedLayers, head: preparedHead };
}

type MatrixPrefill = Program & { readonly step: "linear-prefill" };

/** A prompt by matrices, its operands as `makeOperands` makes them. */
const matrixPrefill = (
  name: string,
  arithmetic: GpuArithmetic,
  operandKernels: readonly Kernel[],
  multiple: number,
  makeOperands: (context: OperandsContext) => Operands,
): MatrixPrefill => ({
  name,
  step: "linear-prefill",
  rows: manyRows,
  kernels: [embedding, prefillRopeF16, attentionPrefillMatrix, ...operandKernels],
  arithmetic,
  layout: "repacked",
  cache: "f16",
  parts: plainParts,
  refusal: (config, refs, capabilities) =>
    partRefusal(plainParts, refs) ?? matrixRefusal(multiple, config, refs) ?? packRefusal(capabilities, refs),
  chunk: matrixRows,
  prepare: (context) => preparePrefill(context, makeOperands),
});

export const f16MatrixPrefill: MatrixPrefill = matrixPrefill("f16-matrix", "f16", f16OperandKernels, 64, f16Operands);
export const fixed16MatrixPrefill: MatrixPrefill = matrixPrefill(
  "fixed16-matrix",
  "fixed16",
  fixed16OperandKernels,
  DIGITS_BLOCK,
  fixed16Operands,
);

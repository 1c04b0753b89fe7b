/**
 * A step of several sequences: one row of each, at positions of their own, through dispatches that read every weight once. Two ways: the plain
 * steps in f32 (gpu/model/llama.ts), and, where the device has subgroup matrices, the products of a prompt (prefill-operands.ts) on as few rows.
 * Both leave logits [T, V].
 */
import type { LlamaConfig } from "../../core/config.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import type { Refusal } from "../device/capabilities.ts";
import { batchAttention } from "../kernels/batch/batch-attention.ts";
import { batchRope } from "../kernels/batch/batch-rope.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { recordFinalNorm, recordHead, recordLayers, recordLinear } from "../model/llama.ts";
import type { ForwardContext } from "../model/sequence.ts";
import type { GpuLinear } from "../model/tree.ts";
import type { Span } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { nothingPending, type Operands, type OperandsContext } from "./prefill-operands.ts";
import { rowsInPieces } from "./prefill-products.ts";
import type { Feeder } from "./program.ts";
import { fewRows, manyRows } from "./steps.ts";

/** What a batch's program works on: `forward.sequence.batch` is there. */
export interface BatchContext {
  readonly memory: Memory;
  readonly forward: ForwardContext;
  /** [T, V] f32 */
  readonly logits: GPUBuffer;
}

export interface BatchProgram {
  readonly name: string;
  /** Allocates, records and compiles. Replayed for T rows: ids, `rows` and {T} in `step` come first. */
  prepare(context: BatchContext): Promise<Feeder>;
}

/** What stands against computing sequences of this model together. */
export function batchRefusal({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, ropeScaling }: LlamaConfig): Refusal | undefined {
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  if (Hd % 8 !== 0) return unsupported(`head_dim ${Hd} is no multiple of 8`);
  if (H % G !== 0) return unsupported(`${H} query heads are no multiple of ${G} key/value heads`);
  if (ropeScaling.type === "dynamic") return unsupported("dynamic RoPE scaling depends on the length of each sequence");
  return undefined;
}

/** Adds what `body` records, to run for these numbers of rows alone, or for those of them that it is recorded for. */
function recordFor(recorder: Recorder, { from, to }: Span, body: (recorder: Recorder) => void): void {
  const own = makeRecorder();
  body(own);
  for (const dispatch of own.dispatches) {
    const rows = { from: Math.max(from, dispatch.rows?.from ?? from), to: Math.min(to, dispatch.rows?.to ?? to) };
    if (rows.from < rows.to) recorder.dispatches.push({ ...dispatch, rows });
  }
}

/** The two sides of the border between few rows and many, each by its kernels. */
function recordBoth(recorder: Recorder, c: ForwardContext, body: (recorder: Recorder, c: ForwardContext) => void): void {
  recordFor(recorder, fewRows, (own) => body(own, { ...c, many: false }));
  if (c.a.rows >= manyRows.from) recordFor(recorder, manyRows, (own) => body(own, { ...c, many: true }));
}

/** The plain steps. */
export const plainBatch: BatchProgram = {
  name: "plain",
  async prepare({ memory, forward, logits }) {
    const layers = makeRecorder();
    recordBoth(layers, forward, (recorder, c) => recordLayers(recorder, c));
    const head = makeRecorder();
    recordFinalNorm(head, forward, false);
    recordBoth(head, forward, (recorder, c) => recordHead(recorder, c, c.a.normed, logits, false));
    const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
    return { layers: preparedLayers, head: preparedHead };
  },
};

/** Rows of a tile: activations have room for a multiple of it. */
const TILE = 128;

/** The products of a prompt, with operands as `makeOperands` makes them. */
export const matrixBatch = (name: string, makeOperands: (context: OperandsContext) => Operands): BatchProgram => ({
  name,
  async prepare({ memory, forward: c, logits }) {
    const { config, weights, sequence } = c;
    const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow: window } = config;
    const { step, ids, ropeTable: table, noted, cacheDType: dtype } = sequence;
    const { rows, slots, capacity, q } = sequence.batch!;
    const padded = Math.ceil(c.a.rows / TILE) * TILE;
    const width = (H + 2 * G) * Hd;
    const added = [H * Hd, config.intermediateSize].map((K) => ({ K, N: D, add: true }));
    const residual = allocate(memory, "residual (batch)", Math.max(padded, rowsInPieces(added, padded)) * D * 4);
    const heads = [{ K: D, N: width, add: false }];
    const qkvOut = allocate(memory, "qkv (batch)", Math.max(padded, rowsInPieces(heads, padded)) * width * 4);
    const attention = allocate(memory, "attention (batch)", padded * H * Hd * 4);

    const layers = makeRecorder();
    const operands = makeOperands({ memory, recorder: layers, config, rows: padded, step, nothing: sequence.nothing });
    for (const { firstColumn: firstRow, N, weight } of weights.embedTokens.pieces) {
      const shape = { dtype: weights.embedTokens.dtype, D, firstRow, rows: N };
      recordKernel(layers, embedding, { ids, table: weight, out: residual }, shape, { label: "embeddings" });
    }
    let pending = nothingPending;
    for (const [i, layer] of weights.layers.entries()) {
      const at = `layers.${i}.`;
      const caches = { keys: sequence.keys[i]!, values: sequence.values[i]! };
      operands.norm(residual, layer.inputLayernorm.weight, pending, `${at}inputLayernorm`);
      const sideBySide = { qFirst: 0, kFirst: H * Hd, vFirst: (H + G) * Hd, qStride: width, kvStride: width };
      const shape = { H, G, Hd, capacity, slots, dtype, ...sideBySide };
      const turned = { rows, q_in: qkvOut, k_in: qkvOut, v_in: qkvOut, table, q, ...caches, noted };
      for (const left of operands.product([layer.qProj, layer.kProj, layer.vProj], width, qkvOut, false, `${at}qkv`)) {
        const { pieces, apart } = left;
        recordKernel(layers, batchRope, turned, { ...shape, pieces, apart }, { label: `${at}rope`, rows: left.rows });
      }
      const attended = { rows, q, ...caches, out: attention };
      recordKernel(layers, batchAttention, attended, { H, G, Hd, window, dtype, slots, capacity }, { label: `${at}attention` });
      operands.rows(attention, sequence.nothing, 1, { label: `${at}attention` });
      const add = (linear: GpuLinear, label: string): void => {
        pending = { left: operands.product([linear], D, residual, true, label), bias: linear.extras };
      };
      add(layer.oProj, `${at}attentionResidual`);
      operands.norm(residual, layer.postAttentionLayernorm.weight, pending, `${at}postAttentionLayernorm`);
      operands.gateUp([layer.gateProj, layer.upProj], at);
      add(layer.downProj, `${at}residual`);
    }
    operands.settle(residual, weights.norm.weight, pending, "residual");
    const head = makeRecorder();
    recordKernel(head, rmsNorm, { step, x: residual, weight: weights.norm.weight, out: c.a.normed }, { D, eps }, { label: "finalNorm" });
    recordBoth(head, c, (recorder, own) =>
      recordLinear(recorder, own, { weight: weights.lmHead, bias: null, extras: null, shared: null }, own.a.normed, logits, "logits"),
    );
    const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
    return { layers: preparedLayers, head: preparedHead };
  },
});

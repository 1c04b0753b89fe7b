/**
 * A step of several sequences: one row of each, at positions of their own, through dispatches that read every weight once. Two ways: the plain
 * steps in f32 (gpu/model/llama.ts), and, where the device has subgroup matrices, the products of a prompt (prefill-operands.ts) on as few rows.
 * Both leave logits [T, V].
 */
import type { LlamaConfig } from "../../core/config.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import type { Refusal } from "../device/capabilities.ts";
import { attentionSubgroups, batchAttentionF16 } from "../kernels/batch/batch-attention-f16.ts";
import { batchRopeF16 } from "../kernels/batch/batch-rope-f16.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { SPLIT_ROWS } from "../kernels/prefill/attention-prefill-matrix.ts";
import { recordFinalNorm, recordHead, recordLayers, recordLinear } from "../model/llama.ts";
import type { ForwardContext } from "../model/sequence.ts";
import type { GpuLinear } from "../model/tree.ts";
import type { Kernel, Span } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { allRows, nothingPending, type Operands, type OperandsContext } from "./prefill-operands.ts";
import { recordProduct, rowsInPieces } from "./prefill-products.ts";
import type { Feeder } from "./program.ts";
import { fewRows, manyRows } from "./steps.ts";

/** What a batch's program works on: `forward.sequence.batch` is there. */
export interface BatchContext {
  readonly memory: Memory;
  readonly forward: ForwardContext;
  /** [T, V] f32, with room for a multiple of the program's `tile` rows */
  readonly logits: GPUBuffer;
}

export interface BatchProgram {
  readonly name: string;
  /** What of its kernels no other program has. */
  readonly kernels: readonly Kernel[];
  readonly tile: number;
  /** Allocates, records and compiles. Replayed for T rows, at the largest of their positions: ids, `rows` and {T} in `step` come first. */
  prepare(context: BatchContext): Promise<Feeder>;
}

/** What stands against computing sequences of this model together. */
export function batchRefusal({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, ropeScaling }: LlamaConfig): Refusal | undefined {
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  if (Hd % 4 !== 0) return unsupported(`head_dim ${Hd} is no multiple of 4`);
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
  kernels: [],
  tile: 1,
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

/** Rows of a tile: activations have room for a multiple of it. Columns that a subgroup makes. */
const TILE = 128;
const COLUMNS = 64;

/** In how many splits of the keys attention runs, by rows: few workgroups leave multiprocessors idle, `perRow` for a row. */
function attentionWays(perRow: number): readonly { readonly splits: number; readonly few: boolean; readonly rows: Span }[] {
  const upTo = (workgroups: number): number => 1 + Math.min(SPLIT_ROWS, Math.floor(workgroups / perRow));
  const [eight, four, some] = [upTo(32), upTo(64), upTo(256)];
  const ways = [
    { splits: 8, few: true, rows: { from: 1, to: eight } },
    { splits: 4, few: true, rows: { from: eight, to: four } },
    { splits: 1, few: true, rows: { from: four, to: some } },
    { splits: 1, few: false, rows: { from: some, to: Number.POSITIVE_INFINITY } },
  ];
  return ways.filter(({ rows }) => rows.from < rows.to);
}
const MOST_SPLITS = 8;

/** The products of a prompt, with operands as `makeOperands` makes them. */
export const matrixBatch = (name: string, makeOperands: (context: OperandsContext) => Operands): BatchProgram => ({
  name,
  kernels: [batchRopeF16, batchAttentionF16],
  tile: TILE,
  async prepare({ memory, forward: c, logits }) {
    const { config, weights, sequence } = c;
    const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow: window } = config;
    const { step, ids, ropeTable: table, noted } = sequence;
    const { rows, slots, capacity, q } = sequence.batch!;
    const padded = Math.ceil(c.a.rows / TILE) * TILE;
    const width = (H + 2 * G) * Hd;
    const added = [H * Hd, config.intermediateSize].map((K) => ({ K, N: D, add: true }));
    const residual = allocate(memory, "residual (batch)", Math.max(padded, rowsInPieces(added, padded)) * D * 4);
    const qkvOut = allocate(memory, "qkv (batch)", Math.max(padded, rowsInPieces([{ K: D, N: width, add: false }], padded)) * width * 4);

    const layers = makeRecorder();
    const operands = makeOperands({ memory, recorder: layers, config, rows: padded, step, nothing: sequence.nothing });
    const attention = allocate(memory, "attention (batch)", Math.max(padded, MOST_SPLITS * SPLIT_ROWS) * H * Hd * 4);
    const stats = allocate(memory, "attention statistics (batch)", MOST_SPLITS * SPLIT_ROWS * H * 8);
    for (const { firstColumn: firstRow, N, weight } of weights.embedTokens.pieces) {
      const shape = { dtype: weights.embedTokens.dtype, D, firstRow, rows: N };
      recordKernel(layers, embedding, { ids, table: weight, out: residual }, shape, { label: "embeddings" });
    }
    const limits = workgroupLimits(memory.gpu.capabilities);
    const whole = { H, G, Hd, window, slots, capacity, splits: 1, eights: true, subgroups: attentionSubgroups(Hd, true, limits) };
    const ways = attentionWays(batchAttentionF16.call(whole).workgroups(1, 0)[0]);
    let pending = nothingPending;
    for (const [i, layer] of weights.layers.entries()) {
      const at = `layers.${i}.`;
      const [keys, values] = [sequence.keys[i]!, sequence.values[i]!];
      operands.norm(residual, layer.inputLayernorm.weight, pending, `${at}inputLayernorm`);
      const heads = { H, G, Hd, slots, capacity };
      const { extras } = layer.qProj;
      const shape = { ...heads, hasBias: extras !== null, normEps: layer.qNorm ? eps : null };
      const turned = { rows, y: qkvOut, table, q, k_cache: keys, v_cache: values, noted, extras: extras ?? sequence.nothing };
      for (const left of operands.product([layer.qProj, layer.kProj, layer.vProj], width, qkvOut, false, `${at}qkv`)) {
        const { pieces, apart } = left;
        recordKernel(layers, batchRopeF16, turned, { ...shape, pieces, apart }, { label: `${at}rope`, rows: left.rows });
      }
      for (const { splits, few, rows: span } of operands.eights ? ways : [{ splits: 1, few: false, rows: allRows }]) {
        const direct = splits === 1 && operands.eights !== null;
        const when = { label: `${at}attention`, rows: span };
        const attended = { rows, q, keys, values, out: direct ? operands.eights! : attention, stats };
        recordKernel(
          layers,
          batchAttentionF16,
          attended,
          { ...whole, splits, eights: direct, subgroups: attentionSubgroups(Hd, few, limits) },
          when,
        );
        if (!direct) operands.rows(attention, stats, splits, when);
      }
      const add = (linear: GpuLinear, label: string): void => {
        pending = { left: operands.product([linear], D, residual, true, label), bias: linear.extras };
      };
      add(layer.oProj, `${at}attentionResidual`);
      operands.norm(residual, layer.postAttentionLayernorm.weight, pending, `${at}postAttentionLayernorm`);
      operands.gateUp([layer.gateProj, layer.upProj], at);
      add(layer.downProj, `${at}residual`);
    }
    const head = makeRecorder();
    const lmHead: GpuLinear = { weight: weights.lmHead, bias: null, extras: null, shared: null };
    if (operands.eights && weights.lmHead.pieces.every(({ N }) => N % COLUMNS === 0)) {
      operands.norm(residual, weights.norm.weight, pending, "finalNorm");
      recordProduct(head, operands.eights, [lmHead], logits, { N: weights.lmHead.N, add: false, whole: true, panels: false }, "logits");
    } else {
      operands.settle(residual, weights.norm.weight, pending, "residual");
      recordKernel(head, rmsNorm, { step, x: residual, weight: weights.norm.weight, out: c.a.normed }, { D, eps }, { label: "finalNorm" });
      recordBoth(head, c, (recorder, own) => recordLinear(recorder, own, lmHead, own.a.normed, logits, "logits"));
    }
    const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
    return { layers: preparedLayers, head: preparedHead };
  },
});

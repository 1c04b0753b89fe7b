/**
 * The Llama forward pass as recorded dispatches: the same steps in the same order under the same names as
 * core/model/llama.ts. Where a step has more than one kernel, the plan (gpu/programs/plan.ts) says which.
 */
import type { LayerTapName } from "../../core/model/trace.ts";
import { batchAttention } from "../kernels/batch/batch-attention.ts";
import { batchRope } from "../kernels/batch/batch-rope.ts";
import { add } from "../kernels/plain/add.ts";
import { type AttentionParams, attention } from "../kernels/plain/attention.ts";
import { attentionMix } from "../kernels/plain/attention-mix.ts";
import { attentionTile, takesHeads } from "../kernels/plain/attention-tile.ts";
import { attentionWeights } from "../kernels/plain/attention-weights.ts";
import { cacheWrite } from "../kernels/plain/cache-write.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { rope } from "../kernels/plain/rope.ts";
import { siluMul } from "../kernels/plain/silu-mul.ts";
import { holds } from "../pipeline/kernel.ts";
import { type Recorder, record, recordKernel } from "../pipeline/recorder.ts";
import type { BatchRows, ForwardContext } from "./sequence.ts";
import type { GpuLinear } from "./tree.ts";

/** Called after the dispatch that gives a tap point its value, with the buffer that holds it. */
export type Mark = (name: string, buffer: GPUBuffer) => void;
const noMark: Mark = () => {};

/** What of a layer's attention weights is wanted: a buffer for them [T, H, S], or nothing. */
export type WantedWeights = (layer: number) => GPUBuffer | undefined;

/** out = x · Wᵀ + bias, by the kernel that the plan has for few rows or for many. */
export function recordLinear(
  recorder: Recorder,
  { plain, many, a, sequence: { step, nothing } }: ForwardContext,
  { weight, bias }: GpuLinear,
  x: GPUBuffer,
  out: GPUBuffer,
  label: string,
): void {
  const { linear, dense } = many ? { linear: plain["linear-prefill"], dense: plain["dense-prefill"] } : plain;
  const call = { weight, x, out, bias: bias ?? nothing, hasBias: bias !== null, step, parts: a.parts };
  if (weight.kind === "dense") dense.record(recorder, call, label);
  else linear.record(recorder, call, label);
}

/** From `sequence.ids` to the residual stream after the last layer in `a.x`; writes the cache at step.start. */
export function recordLayers(
  recorder: Recorder,
  c: ForwardContext,
  mark: Mark = noMark,
  wantedWeights: WantedWeights = () => undefined,
): void {
  const { config, weights, sequence, a } = c;
  const { hiddenSize: D, intermediateSize: width, rmsNormEps: eps } = config;
  const { step } = sequence;
  const table = weights.embedTokens;
  for (const { firstColumn: firstRow, N: rows, weight } of table.pieces)
    recordKernel(
      recorder,
      embedding,
      { ids: sequence.ids, table: weight, out: a.x },
      { dtype: table.dtype, D, firstRow, rows },
      { label: "embeddings" },
    );
  mark("embeddings", a.x);
  weights.layers.forEach((layer, i) => {
    const at = `layers.${i}.`;
    const tap = (name: LayerTapName, buffer: GPUBuffer): void => mark(at + name, buffer);
    recordKernel(
      recorder,
      rmsNorm,
      { step, x: a.x, weight: layer.inputLayernorm.weight, out: a.normed },
      { D, eps },
      { label: `${at}inputLayernorm` },
    );
    tap("inputLayernorm", a.normed);
    recordSelfAttention(recorder, c, i, tap, wantedWeights(i));
    tap("attentionOutput", a.branch);
    recordKernel(recorder, add, { step, x: a.x, y: a.branch }, { width: D }, { label: `${at}attentionResidual` });
    tap("attentionResidual", a.x);

    recordKernel(
      recorder,
      rmsNorm,
      { step, x: a.x, weight: layer.postAttentionLayernorm.weight, out: a.normed },
      { D, eps },
      { label: `${at}postAttentionLayernorm` },
    );
    tap("postAttentionLayernorm", a.normed);
    recordLinear(recorder, c, layer.gateProj, a.normed, a.gate, `${at}gate`);
    tap("gate", a.gate);
    recordLinear(recorder, c, layer.upProj, a.normed, a.up, `${at}up`);
    tap("up", a.up);
    recordKernel(recorder, siluMul, { step, gate: a.gate, up: a.up }, { width }, { label: `${at}siluMul` });
    tap("siluMul", a.gate);
    recordLinear(recorder, c, layer.downProj, a.gate, a.branch, `${at}mlp`);
    tap("mlp", a.branch);
    recordKernel(recorder, add, { step, x: a.x, y: a.branch }, { width: D }, { label: `${at}residual` });
    tap("residual", a.x);
  });
}

/** a.branch = o_proj(attention(q_proj, k_proj, v_proj of a.normed)); writes layer i of the cache. */
function recordSelfAttention(
  recorder: Recorder,
  c: ForwardContext,
  i: number,
  tap: (name: LayerTapName, buffer: GPUBuffer) => void,
  wantedWeights: GPUBuffer | undefined,
): void {
  const { a, sequence } = c;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = c.config;
  const { step } = sequence;
  const layer = c.weights.layers[i]!;
  const at = `layers.${i}.`;
  const { q, k } = a.heads ?? a;
  recordLinear(recorder, c, layer.qProj, a.normed, q, `${at}q`);
  tap("q", q);
  recordLinear(recorder, c, layer.kProj, a.normed, k, `${at}k`);
  tap("k", k);
  recordLinear(recorder, c, layer.vProj, a.normed, a.v, `${at}v`);
  tap("v", a.v);
  if (layer.qNorm) {
    recordKernel(
      recorder,
      rmsNorm,
      { step, x: q, weight: layer.qNorm.weight, out: a.q },
      { D: Hd, eps, heads: H },
      { label: `${at}qNorm` },
    );
    tap("qNorm", a.q);
  }
  if (layer.kNorm) {
    recordKernel(
      recorder,
      rmsNorm,
      { step, x: k, weight: layer.kNorm.weight, out: a.k },
      { D: Hd, eps, heads: G },
      { label: `${at}kNorm` },
    );
    tap("kNorm", a.k);
  }
  if (sequence.batch) recordBatchAttention(recorder, c, sequence.batch, i, at);
  else recordOwnAttention(recorder, c, i, tap, wantedWeights);
  tap("attention", a.attention);
  recordLinear(recorder, c, layer.oProj, a.attention, a.branch, `${at}attentionOutput`);
}

/** RoPE, cache and attention of rows that follow each other in one sequence. */
function recordOwnAttention(
  recorder: Recorder,
  { a, sequence, config, many }: ForwardContext,
  i: number,
  tap: (name: LayerTapName, buffer: GPUBuffer) => void,
  wantedWeights: GPUBuffer | undefined,
): void {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow } = config;
  const { step, ropeTable, cacheDType: dtype } = sequence;
  const at = `layers.${i}.`;
  recordKernel(recorder, rope, { step, table: ropeTable, x: a.q }, { heads: H, halfDim: Hd / 2 }, { label: `${at}qRope` });
  tap("qRope", a.q);
  recordKernel(recorder, rope, { step, table: ropeTable, x: a.k }, { heads: G, halfDim: Hd / 2 }, { label: `${at}kRope` });
  tap("kRope", a.k);
  const keys = sequence.keys[i]!;
  const values = sequence.values[i]!;
  recordKernel(
    recorder,
    cacheWrite,
    { step, k: a.k, v: a.v, keys, values, noted: sequence.noted },
    { width: G * Hd, dtype },
    { label: `${at}cache` },
  );

  const shape: AttentionParams = { H, G, Hd, window: slidingWindow, dtype };
  if (wantedWeights) {
    recordKernel(recorder, attentionWeights, { step, q: a.q, keys, weights: wantedWeights }, shape, { label: `${at}attentionWeights` });
    tap("attentionWeights", wantedWeights);
    recordKernel(recorder, attentionMix, { step, weights: wantedWeights, values, out: a.attention }, shape, { label: `${at}attention` });
  } else {
    const kernel = many && takesHeads(shape) ? attentionTile : attention;
    recordKernel(recorder, kernel, { step, q: a.q, keys, values, out: a.attention }, shape, { label: `${at}attention` });
  }
}

/** The same of rows that are each the next of a sequence of its own. */
function recordBatchAttention(recorder: Recorder, { a, sequence, config }: ForwardContext, batch: BatchRows, i: number, at: string): void {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
  const { rows, slots, capacity, q } = batch;
  const { ropeTable: table, cacheDType: dtype, noted } = sequence;
  const caches = { keys: sequence.keys[i]!, values: sequence.values[i]! };
  recordKernel(
    recorder,
    batchRope,
    { rows, q_in: a.q, k_in: a.k, v_in: a.v, table, q, ...caches, noted },
    { H, G, Hd, capacity, slots, dtype },
    { label: `${at}rope` },
  );
  const shape = { H, G, Hd, window, dtype, slots, capacity };
  recordKernel(recorder, batchAttention, { rows, q, ...caches, out: a.attention }, shape, { label: `${at}attention` });
}

/** a.normed = final norm of a.x: of every row, or of row T − 1 alone, which becomes row 0. */
export function recordFinalNorm(recorder: Recorder, c: ForwardContext, lastRow: boolean): void {
  const { hiddenSize: D, rmsNormEps: eps } = c.config;
  const buffers = { step: c.sequence.step, x: c.a.x, weight: c.weights.norm.weight, out: c.a.normed };
  recordKernel(recorder, rmsNorm, buffers, { D, eps, lastRow }, { label: "finalNorm" });
}

/** out [T, V] = lm_head of `normed` [T, D]; with `lastRow` one row of each, however large T is. */
export function recordHead(recorder: Recorder, c: ForwardContext, normed: GPUBuffer, out: GPUBuffer, lastRow: boolean): void {
  const { lmHead } = c.weights;
  const first = recorder.dispatches.length;
  recordLinear(
    recorder,
    lastRow ? { ...c, many: false } : c,
    { weight: lmHead, bias: null, extras: null, shared: null },
    normed,
    out,
    "logits",
  );
  if (!lastRow) return;
  // Of the dispatches for so many rows those for one, whatever T is.
  const ones = recorder.dispatches.splice(first).filter(({ rows }) => !rows || holds(rows, 1));
  for (const { rows: _, ...dispatch } of ones) record(recorder, { ...dispatch, workgroups: (_T, start) => dispatch.workgroups(1, start) });
}

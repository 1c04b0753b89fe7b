/**
 * The plain steps as programs: core/model/llama.ts's steps one by one (gpu/model/llama.ts), with the kernels that the
 * plan took, for few rows and for many. They feed what no other program does, and where somebody watches.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { biasParts, type ListedPart, plainParts } from "../../core/model/layer.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Memory } from "../device/buffer.ts";
import type { Refusal } from "../device/capabilities.ts";
import { add } from "../kernels/plain/add.ts";
import { attention } from "../kernels/plain/attention.ts";
import { attentionTile } from "../kernels/plain/attention-tile.ts";
import { cacheWrite } from "../kernels/plain/cache-write.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { rope } from "../kernels/plain/rope.ts";
import { siluMul } from "../kernels/plain/silu-mul.ts";
import { recordFinalNorm, recordHead, recordLayers } from "../model/llama.ts";
import type { ForwardContext } from "../model/sequence.ts";
import { makeRecorder, type PreparedDispatch, prepare } from "../pipeline/recorder.ts";
import { type Program, partRefusal } from "./program.ts";
import { fewRows, manyRows } from "./steps.ts";
import { TILE_ROWS } from "./tiles.ts";

/**
 * Rows fed at a time where all logits are wanted, where somebody watches, and by software: bounds the activations' memory.
 * Every chunk size gives the same bits where the kernels are the same.
 */
export const CHUNK = 128;

const parts: readonly ListedPart[] = [...plainParts, ...biasParts, "qNorm", "kNorm"];

const plain = (name: string, many: boolean): Program => ({
  name,
  rows: many ? manyRows : fewRows,
  // Those of linears and head are chosen apart.
  kernels: [embedding, rmsNorm, rope, cacheWrite, many ? attentionTile : attention, siluMul, add],
  arithmetic: "f32",
  parts,
  refusal: (_config: LlamaConfig, refs: LlamaWeightRefs): Refusal | undefined => partRefusal(parts, refs),
  chunk: ({ software }, _config, maxContext) => (many && !software ? Math.min(TILE_ROWS, Math.max(CHUNK, maxContext)) : CHUNK),
  async prepare({ memory, forward, logits }) {
    const layers = makeRecorder();
    if (!many || forward.a.rows >= manyRows.from) recordLayers(layers, { ...forward, many });
    const head = makeRecorder();
    recordFinalNorm(head, forward, true);
    recordHead(head, forward, forward.a.normed, logits, true);
    const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
    return { layers: preparedLayers, head: preparedHead };
  },
});

export const plainFew: Program = plain("plain", false);
export const plainMany: Program = plain("plain-prefill", true);

/**
 * Final norm and logits of every row that the layers of `plainFew`, or with `many` of `plainMany`, were fed: out [T,
 * V].
 */
export async function prepareHeads(memory: Memory, forward: ForwardContext, many: boolean, out: GPUBuffer): Promise<PreparedDispatch[]> {
  const recorder = makeRecorder();
  recordFinalNorm(recorder, forward, false);
  recordHead(recorder, { ...forward, many }, forward.a.normed, out, false);
  return prepare(recorder, memory);
}

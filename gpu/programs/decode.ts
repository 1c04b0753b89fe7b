/**
 * Decoding by fused kernels in fixed16 arithmetic: six dispatches a layer for the sixteen steps of core/model/llama.ts,
 * on repacked weights and an f16 cache. Each kernel's head comment names the steps it covers. Needs no optional device
 * feature.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { plainParts } from "../../core/model/layer.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { attentionCombine } from "../kernels/decode/attention-combine.ts";
import { attentionDecode, splitsOf, tuneAttention } from "../kernels/decode/attention-decode.ts";
import { awqAddFixed16, tuneAdd } from "../kernels/decode/awq-add-fixed16.ts";
import { awqGateUpFixed16, tuneGateUp } from "../kernels/decode/awq-gate-up-fixed16.ts";
import { awqQkvRopeFixed16, tuneQkvRope } from "../kernels/decode/awq-qkv-rope-fixed16.ts";
import { embedFixed16 } from "../kernels/decode/embed-fixed16.ts";
import { headF16 } from "../kernels/decode/head-f16.ts";
import { packRefusal } from "../model/packing.ts";
import type { GpuLinear, GpuPacked } from "../model/tree.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, recordKernel } from "../pipeline/recorder.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { type Feeder, type Program, type ProgramContext, partRefusal } from "./program.ts";

/** What a token runs. */
const kernels: readonly Kernel[] = [
  embedFixed16,
  awqQkvRopeFixed16,
  attentionDecode,
  attentionCombine,
  awqAddFixed16,
  awqGateUpFixed16,
  headF16,
];

/** Why the fused kernels refuse the model's shapes. */
function refusal(config: LlamaConfig, refs: LlamaWeightRefs, capabilities: Capabilities): Refusal | undefined {
  const { embedTokens, lmHead } = refs;
  const { hiddenSize: D, intermediateSize: F, headDim: Hd } = config;
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  if (D % 32 !== 0 || F % 32 !== 0) return unsupported(`hidden size ${D} and intermediate size ${F} are not both multiples of 32`);
  if (![32, 64, 128, 256].includes(Hd)) return unsupported(`head_dim ${Hd} is none of 32, 64, 128, 256`);
  if (embedTokens.dtype !== "F16" || lmHead.dtype !== "F16")
    return unsupported(`embedding ${embedTokens.dtype} and head ${lmHead.dtype} are not both F16`);
  return packRefusal(capabilities, refs);
}

/** One token: its position in sequence.step.start. `layers` leaves the last residual for `head`. */
async function prepareDecode({ memory, forward, logits, maxContext }: ProgramContext): Promise<Feeder> {
  const { config, weights, sequence } = forward;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const limits = workgroupLimits(memory.gpu.capabilities);
  const A = H * Hd;
  const { few, more, many } = tuneAttention({ H, G, Hd, window: config.slidingWindow }, limits);
  const splits = splitsOf(maxContext);
  const f32 = (label: string, length: number): GPUBuffer => allocate(memory, label, length * 4);
  const residual = f32("residual", D);
  const scaled = f32("residual ∘ norm", D);
  const digits = f32("digits", D / 2);
  const blocks = f32("blocks", D / 8);
  const joined = f32("attention", A);
  const partial_ = f32("attention splits", splits * A);
  const stats = f32("attention statistics", splits * H * 2);
  const h = f32("siluMul", F);
  const { step, ids, ropeTable: rotations, q } = sequence;
  /** What the linear after a residual reads. */
  const next = { residual, scaled, out_digits: digits, out_blocks: blocks };
  /** The norm that comes before layer i, in planes; before the head after the last. */
  const normBefore = (i: number): GPUBuffer => (weights.layers[i]?.inputLayernorm ?? weights.norm).planes!;

  const layers = makeRecorder();
  for (const { firstColumn: firstRow, N: rows, weight: embedding } of weights.embedTokens.pieces)
    recordKernel(layers, embedFixed16, { ...next, embedding, ids, norm: normBefore(0) }, { K: D, firstRow, rows }, { label: "embeddings" });
  for (const [i, layer] of weights.layers.entries()) {
    const label = (name: string) => ({ label: `layers.${i}.${name}` });
    const cache = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    // residual += x · Wᵀ, made ready for the norm that follows.
    const addLinear = (linear: GpuLinear, x_in: GPUBuffer, next_norm: GPUBuffer, name: string): void => {
      const { K, groupSize: group, weights, groups } = linear.weight as GpuPacked;
      recordKernel(layers, awqAddFixed16, { ...next, x_in, weights, groups, next_norm }, tuneAdd({ K, group, N: D }, limits), label(name));
    };
    // The norm's 1/rms, q, k, v, RoPE and the cache.
    const qkv = layer.qProj.weight as GpuPacked;
    const qkvShape = tuneQkvRope({ K: D, group: qkv.groupSize, eps, H, G, Hd }, limits);
    recordKernel(layers, awqQkvRopeFixed16, { ...qkv, digits, blocks, rotations, q_out: q, ...cache, step }, qkvShape, label("qkv"));
    // Of the three the position picks one; few keys leave their result in `joined`, the others theirs to be combined.
    const attended = { q, ...cache, stats, step };
    for (const { shape, positions } of [few, more, many])
      recordKernel(layers, attentionDecode, { ...attended, out: shape.split ? partial_ : joined }, shape, {
        ...label("attention"),
        positions,
      });
    const splitPositions = { from: more.positions.from, to: Infinity };
    const combined = { H, Hd, keys: more.shape.keys, splits };
    recordKernel(layers, attentionCombine, { partial_, stats, joined, step }, combined, {
      ...label("attention"),
      positions: splitPositions,
    });
    addLinear(layer.oProj, joined, layer.postAttentionLayernorm.planes!, "attentionResidual");
    // The norm's 1/rms, gate, up and silu · mul.
    const gate = layer.gateProj.weight as GpuPacked;
    const gateShape = tuneGateUp({ K: D, group: gate.groupSize, eps, F }, limits);
    recordKernel(layers, awqGateUpFixed16, { ...gate, digits, blocks, h }, gateShape, label("siluMul"));
    addLinear(layer.downProj, h, normBefore(i + 1), "residual");
  }
  const head = makeRecorder();
  for (const { firstColumn: firstRow, N: rows, weight } of weights.lmHead.pieces)
    recordKernel(head, headF16, { scaled, blocks, weights: weight, logits }, { K: D, eps, firstRow, rows }, { label: "logits" });
  const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
  return { layers: preparedLayers, head: preparedHead };
}

export const fixed16Decode: Program & { readonly step: "linear" } = {
  name: "fixed16",
  step: "linear",
  rows: { from: 1, to: 2 },
  kernels,
  arithmetic: "fixed16",
  layout: "repacked",
  cache: "f16",
  parts: plainParts,
  refusal: (config, refs, capabilities) => partRefusal(plainParts, refs) ?? refusal(config, refs, capabilities),
  chunk: () => 1,
  prepare: prepareDecode,
};

/**
 * Decoding by fused kernels: six dispatches a layer for the sixteen steps of core/model/llama.ts (one more where heads of
 * q and k have norms), linears of one input in one matrix. int4 linears in fixed16 arithmetic or in f32, dense ones in
 * f32 beside them. Each kernel's head comment names the steps it covers. Needs no optional device feature.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { biasParts, type ListedPart, plainParts } from "../../core/model/layer.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { attentionCombine } from "../kernels/decode/attention-combine.ts";
import { attentionDecode } from "../kernels/decode/attention-decode.ts";
import { awqAddF32 } from "../kernels/decode/awq-add-f32.ts";
import { awqAddFixed16 } from "../kernels/decode/awq-add-fixed16.ts";
import { awqGateUpF32 } from "../kernels/decode/awq-gate-up-f32.ts";
import { awqGateUpFixed16 } from "../kernels/decode/awq-gate-up-fixed16.ts";
import { awqQkvRopeF32 } from "../kernels/decode/awq-qkv-rope-f32.ts";
import { awqQkvRopeFixed16 } from "../kernels/decode/awq-qkv-rope-fixed16.ts";
import { denseAdd } from "../kernels/decode/dense-add.ts";
import { denseGateUp } from "../kernels/decode/dense-gate-up.ts";
import { denseHead } from "../kernels/decode/dense-head.ts";
import { denseQkvRope } from "../kernels/decode/dense-qkv-rope.ts";
import { embedFixed16 } from "../kernels/decode/embed-fixed16.ts";
import { headNormRope } from "../kernels/decode/head-norm-rope.ts";
import { shareRefusal } from "../model/packing.ts";
import type { GpuLinear, SharedMatrix } from "../model/tree.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, recordKernel, recordTuned } from "../pipeline/recorder.ts";
import type { AddKernel } from "../wgsl/decode/add.ts";
import type { GateUpKernel } from "../wgsl/decode/gate-up.ts";
import type { DenseBuffers, DenseMatrix, Int4Buffers, Int4Matrix } from "../wgsl/decode/products.ts";
import type { QkvRopeKernel } from "../wgsl/decode/qkv-rope.ts";
import { blockBytes, digitBytes, planeBytes } from "../wgsl/fixed16.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { attentionWays } from "./decode-attention.ts";
import { type Feeder, linearsOf, type Program, type ProgramContext, partRefusal } from "./program.ts";

type Arithmetic = "fixed16" | "f32";

/** The linears of a layer: of `digits` or `scaled` each kernel binds the one that it reads. */
interface LinearKernels<W extends string, M> {
  readonly qkvRope: QkvRopeKernel<"digits" | "scaled", W, M>;
  readonly add: AddKernel<"x_in", W, M>;
  readonly gateUp: GateUpKernel<"digits" | "scaled", W, M>;
}
type Int4Kernels = LinearKernels<Int4Buffers, Int4Matrix>;

/** What int4 linears run by, and dense ones: the same kernel texts with another product. */
const int4Kernels: Readonly<Record<Arithmetic, Int4Kernels>> = {
  fixed16: { qkvRope: awqQkvRopeFixed16, add: awqAddFixed16, gateUp: awqGateUpFixed16 } as Int4Kernels,
  f32: { qkvRope: awqQkvRopeF32, add: awqAddF32, gateUp: awqGateUpF32 } as Int4Kernels,
};
const denseKernels = { qkvRope: denseQkvRope, add: denseAdd, gateUp: denseGateUp } as LinearKernels<DenseBuffers, DenseMatrix>;

const parts: readonly ListedPart[] = [...plainParts, ...biasParts, "qNorm", "kNorm"];

/** Why the fused kernels refuse the model's shapes. */
function shapeRefusal({ hiddenSize: D, headDim: Hd, qkNorm }: LlamaConfig, refs: LlamaWeightRefs): Refusal | undefined {
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  if (D % 8 !== 0) return unsupported(`hidden size ${D} is not a multiple of 8`);
  if (Hd % 8 !== 0 || Hd > 256) return unsupported(`head_dim ${Hd} is not a multiple of 8 up to 256`);
  const others = refs.layers.some(({ qNorm, kNorm }) => (qNorm !== null) !== qkNorm || (kNorm !== null) !== qkNorm);
  return others ? unsupported("norms of heads are not those of the config") : undefined;
}

/** One token: its position in sequence.step.start. `layers` leaves the last residual for `head`. */
async function prepareDecode({ memory, forward, logits, maxContext }: ProgramContext, arithmetic: Arithmetic): Promise<Feeder> {
  const { config, weights, sequence } = forward;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const { step, ids, ropeTable: rotations, q, cacheDType: cache, nothing } = sequence;
  const limits = workgroupLimits(memory.gpu.capabilities);
  const A = H * Hd;
  const attention = { H, G, Hd, window: config.slidingWindow, cache };
  const { ways, splits } = attentionWays(attention, maxContext, memory.gpu.capabilities);
  const room = (label: string, byteLength: number): GPUBuffer => allocate(memory, label, byteLength);
  const residual = room("residual", planeBytes(D));
  const scaled = room("residual ∘ norm", planeBytes(D));
  const digits = room("digits", digitBytes(D));
  const blocks = room("blocks", blockBytes(D));
  const joined = room("attention", planeBytes(A));
  const partial_ = room("attention splits", splits * planeBytes(A));
  const stats = room("attention statistics", splits * H * 8);
  const h = room("siluMul", planeBytes(F));
  const raw = config.qkNorm ? room("q, k, v before the norms of heads", 4 * (A + 2 * G * Hd)) : q;
  /** What the linear after a residual reads. */
  const normed = { scaled, digits, blocks };
  const next = { residual, scaled, out_digits: digits, out_blocks: blocks };
  /** The norm that comes before layer i, in planes; before the head after the last. */
  const normBefore = (i: number): GPUBuffer => (weights.layers[i]?.inputLayernorm ?? weights.norm).planes!;
  const int4 = int4Kernels[arithmetic];
  const sharedOf = ({ shared }: GpuLinear): SharedMatrix => shared!;

  const layers = makeRecorder();
  const table = weights.embedTokens;
  for (const { firstColumn: firstRow, N: rows, weight: embedding } of table.pieces) {
    const shape = { dtype: table.dtype, K: D, firstRow, rows };
    recordKernel(layers, embedFixed16, { ...next, embedding, ids, norm: normBefore(0) }, shape, { label: "embeddings" });
  }
  for (const [i, layer] of weights.layers.entries()) {
    const label = (name: string) => ({ label: `layers.${i}.${name}` });
    const caches = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    // residual += x · Wᵀ, made ready for the norm that follows.
    const addLinear = (linear: GpuLinear, x_in: GPUBuffer, next_norm: GPUBuffer, name: string): void => {
      const matrix = sharedOf(linear);
      const buffers = { ...next, x_in, next_norm };
      if (matrix.kind === "dense")
        recordTuned(layers, denseKernels.add, { ...buffers, ...matrix }, { ...matrix, N: D }, limits, label(name));
      else recordTuned(layers, int4.add, { ...buffers, ...matrix }, { ...matrix, N: D }, limits, label(name));
    };
    // The norm's 1/rms, q, k, v, and, unless their heads have norms, RoPE and the cache.
    const qkv = sharedOf(layer.qProj);
    const qkvShape = { eps, H, G, Hd, cache, raw: config.qkNorm };
    const qkvBuffers = { ...normed, rotations, q_out: raw, ...caches, step };
    if (qkv.kind === "dense")
      recordTuned(layers, denseKernels.qkvRope, { ...qkvBuffers, ...qkv }, { ...qkvShape, ...qkv }, limits, label("qkv"));
    else recordTuned(layers, int4.qkvRope, { ...qkvBuffers, ...qkv }, { ...qkvShape, ...qkv }, limits, label("qkv"));
    if (layer.qNorm && layer.kNorm) {
      const norms = { q_norm: layer.qNorm.weight, k_norm: layer.kNorm.weight };
      recordKernel(layers, headNormRope, { raw, ...norms, rotations, q_out: q, ...caches, step }, { eps, H, G, Hd, cache }, label("rope"));
    }
    for (const { record } of ways) record(layers, { q, ...caches, partial_, stats, joined, step }, label("attention"));
    addLinear(layer.oProj, joined, layer.postAttentionLayernorm.planes!, "attentionResidual");
    // The norm's 1/rms, gate, up and silu · mul.
    const gate = sharedOf(layer.gateProj);
    if (gate.kind === "dense")
      recordTuned(layers, denseKernels.gateUp, { ...normed, ...gate, h }, { ...gate, F, eps }, limits, label("siluMul"));
    else recordTuned(layers, int4.gateUp, { ...normed, ...gate, h }, { ...gate, F, eps }, limits, label("siluMul"));
    addLinear(layer.downProj, h, normBefore(i + 1), "residual");
  }
  const head = makeRecorder();
  const { dtype, pieces } = weights.lmHead;
  for (const { firstColumn: firstRow, N: rows, weight } of pieces) {
    const shape = { K: D, dtype, eps, firstRow, rows };
    recordKernel(head, denseHead, { scaled, blocks, weights: weight, bias: nothing, logits }, shape, { label: "logits" });
  }
  const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
  return { layers: preparedLayers, head: preparedHead };
}

/**
 * The kernels that a token runs, those of linears left out that the model has none of. Not attention-shuffle and
 * attention-heads: they take the place of attention-decode where a device has what they need.
 */
const decodeKernels = (arithmetic: Arithmetic): readonly Kernel[] => [
  embedFixed16,
  ...Object.values(int4Kernels[arithmetic]),
  ...Object.values(denseKernels),
  headNormRope,
  attentionDecode,
  attentionCombine,
  denseHead,
];

const decodeProgram = (
  arithmetic: Arithmetic,
  cache: Pick<Program, "cache">,
  refusal: (refs: LlamaWeightRefs) => Refusal | undefined,
): Program & { readonly step: "linear" } => ({
  name: arithmetic,
  step: "linear",
  rows: { from: 1, to: 2 },
  kernels: decodeKernels(arithmetic),
  arithmetic,
  layout: "repacked",
  ...cache,
  parts,
  refusal: (config: LlamaConfig, refs: LlamaWeightRefs, capabilities: Capabilities) =>
    partRefusal(parts, refs) ?? refusal(refs) ?? shapeRefusal(config, refs) ?? shareRefusal(capabilities, refs),
  chunk: () => 1,
  prepare: (context) => prepareDecode(context, arithmetic),
});

/** int4 linears in fixed16, which is nothing to a model without one. */
export const fixed16Decode: Program & { readonly step: "linear" } = decodeProgram("fixed16", { cache: "f16" }, (refs) =>
  linearsOf(refs).some(({ kind }) => kind === "awq") ? undefined : { code: "unsupported", reason: "no linear is int4" },
);
export const f32Decode: Program & { readonly step: "linear" } = decodeProgram("f32", {}, () => undefined);

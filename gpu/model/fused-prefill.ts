/**
 * Prefill by subgroup matrices: f16 operands, f32 sums and residual, on repacked weights and an f16 cache. The same steps as
 * core/model/llama.ts, ten dispatches a layer; each kernel's head comment names the steps it covers.
 */
import type { LlamaConfig } from "../../core/model/config.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate, type Memory } from "../buffer.ts";
import type { Capabilities, SubgroupMatrixConfig } from "../capabilities.ts";
import type { Gpu } from "../device.ts";
import type { Kernel } from "../kernel.ts";
import { attentionPrefillMatrix, recordAttentionPrefillMatrix } from "../kernels/attention-prefill-matrix.ts";
import { awqPrefillF16Matrix, recordAwqPrefillF16Matrix } from "../kernels/awq-prefill-f16-matrix.ts";
import { awqRows16F16Matrix, ROWS16, recordAwqRows16F16Matrix } from "../kernels/awq-rows16-f16-matrix.ts";
import { embedding, recordEmbedding } from "../kernels/embedding.ts";
import { prefillNormF16, recordPrefillNormF16 } from "../kernels/prefill-norm-f16.ts";
import { prefillRopeF16, recordPrefillRopeF16 } from "../kernels/prefill-rope-f16.ts";
import { prefillRowsF16, recordPrefillRowsF16 } from "../kernels/prefill-rows-f16.ts";
import { prefillSiluMulF16, recordPrefillSiluMulF16 } from "../kernels/prefill-silu-mul-f16.ts";
import { recordRmsNorm } from "../kernels/rms-norm.ts";
import { makeRecorder, type PreparedDispatch, prepare } from "../recorder.ts";
import type { Refusal } from "../variants.ts";
import { type ForwardContext, recordHead } from "./llama.ts";
import type { GpuPacked } from "./weights.ts";

/** Rows of a tile; activations have room for a multiple of it. */
const TILE = 128;
const MOST_ROWS = 2048;
/** Bytes that the largest activation may take. */
const ACTIVATION_BYTES = 2 ** 28;

/** What a prefill runs: their features and limits are what it needs of the device. */
export const matrixKernels: readonly Kernel[] = [
  embedding,
  prefillNormF16,
  awqPrefillF16Matrix,
  awqRows16F16Matrix,
  prefillRopeF16,
  attentionPrefillMatrix,
  prefillRowsF16,
  prefillSiluMulF16,
];

/** What of the device stands against the matrix kernels, whatever it has of features. */
export function matrixDeviceRefusal({ subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs }: Capabilities): Refusal | undefined {
  const isNeeded = ({ componentType, resultComponentType, M, N, K }: SubgroupMatrixConfig): boolean =>
    componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16;
  if (subgroupMinSize !== 32 || subgroupMaxSize !== 32) return { code: "missing-feature", reason: "it needs subgroups of 32" };
  if (!subgroupMatrixConfigs.some(isNeeded))
    return { code: "missing-feature", reason: "it needs f16 matrices of 16 x 16 x 16 with f32 sums" };
  return undefined;
}

/** What of device and shapes stands against the matrix kernels. */
export function matrixRefusal(capabilities: Capabilities, config: LlamaConfig, refs: LlamaWeightRefs): Refusal | undefined {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const refusal = matrixDeviceRefusal(capabilities);
  if (refusal) return refusal;
  if (![32, 64, 128].includes(Hd)) return { code: "unsupported", reason: "it needs heads of 32, 64 or 128" };
  if ([D, 2 * F, (H + 2 * G) * Hd].some((N) => N % TILE !== 0))
    return { code: "unsupported", reason: "it needs linears of a multiple of 128 outputs" };
  const fits = (ref: LinearRef): boolean =>
    ref.kind === "awq" && ref.bias === null && ref.inFeatures % 64 === 0 && ref.groupSize % 64 === 0;
  if (
    !refs.layers.every((layer) =>
      [layer.qProj, layer.kProj, layer.vProj, layer.oProj, layer.gateProj, layer.upProj, layer.downProj].every(fits),
    )
  )
    return { code: "unsupported", reason: "it needs int4 linears without bias, inputs and groups in multiples of 64" };
  return undefined;
}

/** Rows fed at a time: as many as the largest activation leaves room for, at most 2048. */
export function matrixRows(gpu: Gpu, { intermediateSize: F }: LlamaConfig, maxContext: number): number {
  const most = Math.min(ACTIVATION_BYTES, gpu.capabilities.limits.maxStorageBufferBindingSize);
  const fits = Math.max(TILE, Math.floor(most / (2 * F * 4) / TILE) * TILE);
  return Math.min(MOST_ROWS, fits, Math.ceil(maxContext / TILE) * TILE);
}

/**
 * Up to `rows` tokens: ids in sequence.ids, position of the first in sequence.step. `head` turns the last row into logits [V].
 * @throws GureumError as `prepare`
 */
export async function prepareFusedPrefill(
  memory: Memory,
  c: ForwardContext,
  logits: GPUBuffer,
  rows: number,
): Promise<{ layers: readonly PreparedDispatch[]; head: readonly PreparedDispatch[] }> {
  const { config, weights, sequence } = c;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const A = H * Hd;
  const { step, ids, ropeTable: table } = sequence;
  const room = (label: string, width: number, bytes: number): GPUBuffer =>
    allocate(memory, label, Math.ceil(rows / TILE) * TILE * width * bytes);
  const residual = room("residual (prefill)", D, 4);
  const normed = room("normed (prefill)", Math.max(D, A), 2);
  const qkvOut = room("qkv (prefill)", (H + 2 * G) * Hd, 4);
  const q = room("q (prefill)", A, 2);
  const attention = room("attention (prefill)", A, 4);
  const gateUp = room("gate, up (prefill)", 2 * F, 4);
  const h = room("siluMul (prefill)", F, 2);

  const layers = makeRecorder();
  for (const { firstColumn, N, weight } of weights.embedTokens.pieces)
    recordEmbedding(
      layers,
      { ids, table: weight, out: residual },
      { dtype: weights.embedTokens.dtype, D, firstRow: firstColumn, rows: N },
      "embeddings",
    );
  // Of the two the number of rows picks one.
  const linear = (
    x: GPUBuffer,
    { weights, groups, K, groupSize }: GpuPacked,
    N: number,
    y: GPUBuffer,
    add: boolean,
    label: string,
  ): void => {
    const shape = { K, N, group: groupSize, add };
    recordAwqRows16F16Matrix(layers, { x, weights, groups, y }, shape, label);
    recordAwqPrefillF16Matrix(layers, { x, weights, groups, y }, shape, ROWS16 + 1, label);
  };
  for (const [i, layer] of weights.layers.entries()) {
    const at = `layers.${i}.`;
    const packed = (name: "qProj" | "oProj" | "gateProj" | "downProj"): GpuPacked => layer[name].weight as GpuPacked;
    const cache = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    recordPrefillNormF16(layers, { residual, norm: layer.inputLayernorm, x: normed }, { K: D, eps }, `${at}inputLayernorm`);
    linear(normed, packed("qProj"), (H + 2 * G) * Hd, qkvOut, false, `${at}qkv`);
    recordPrefillRopeF16(layers, { y: qkvOut, table, q, ...cache, step }, { H, G, Hd }, `${at}rope`);
    recordAttentionPrefillMatrix(
      layers,
      { q, ...cache, out: attention, step },
      { H, G, Hd, window: config.slidingWindow },
      `${at}attention`,
    );
    recordPrefillRowsF16(layers, { y: attention, x: normed }, { K: A }, `${at}attention`);
    linear(normed, packed("oProj"), D, residual, true, `${at}attentionResidual`);
    recordPrefillNormF16(layers, { residual, norm: layer.postAttentionLayernorm, x: normed }, { K: D, eps }, `${at}postAttentionLayernorm`);
    linear(normed, packed("gateProj"), 2 * F, gateUp, false, `${at}gateUp`);
    recordPrefillSiluMulF16(layers, { y: gateUp, x: h }, { F }, `${at}siluMul`);
    linear(h, packed("downProj"), D, residual, true, `${at}residual`);
  }
  const head = makeRecorder();
  recordRmsNorm(head, { step, x: residual, weight: weights.norm, out: c.a.normed }, { D, eps, lastRow: true }, "finalNorm");
  recordHead(head, c, c.a.normed, logits, true);
  const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
  return { layers: preparedLayers, head: preparedHead };
}

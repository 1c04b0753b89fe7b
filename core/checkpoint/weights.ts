/**
 * From a checkpoint's tensors to the model's weights: the only place with checkpoint key strings. `planWeights` checks every key,
 * dtype and shape against the config and reads nothing; `readWeights` fills host memory for the CPU reference. Keys and shapes
 * follow transformers `modeling_llama.py`; AWQ per module by the presence of `.qweight`, as vLLM decides. Rotary `inv_freq` buffers
 * of old checkpoints and any other extra tensor are passed over.
 */

import type { LlamaConfig } from "../config.ts";
import { bf16Value, type DType, dtypeBits, type FloatDType, f16Values } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import type { LayerTree, LayerWeights, LinearRef, LlamaWeightRefs, LlamaWeights, TensorRef } from "../model/weights.ts";
import { checkAwqShape } from "../quant/awq-format.ts";
import type { DenseMatrix, Linear, Matrix } from "../tensor.ts";
import type { ByteStore } from "./byte-source.ts";
import { readConfig } from "./config.ts";
import { quote } from "./json.ts";
import { allocateBytes } from "./safetensors.ts";
import { openTensors, type Report, raise, readTensorInto, type TensorTable } from "./shards.ts";

export const embedTokensKey = "model.embed_tokens.weight";
export const normKey = "model.norm.weight";
export const lmHeadKey = "lm_head.weight";

type LinearName = "qProj" | "kProj" | "vProj" | "oProj" | "gateProj" | "upProj" | "downProj";
type NormName = "inputLayernorm" | "postAttentionLayernorm";

/** One linear of a layer as the config has it: y [N] = W x [K] (+ bias). */
export interface LinearSpec {
  readonly name: LinearName;
  /** Without `.weight`, `.qweight` and so on. */
  readonly key: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly bias: boolean;
}

export function layerNormKey(layer: number, name: NormName): string {
  return `model.layers.${layer}.${name === "inputLayernorm" ? "input_layernorm" : "post_attention_layernorm"}.weight`;
}

/** The seven linears of a layer, in the order of the checkpoint. */
export function layerLinears(config: LlamaConfig, layer: number): LinearSpec[] {
  const d = config.hiddenSize;
  const q = config.numAttentionHeads * config.headDim;
  const kv = config.numKeyValueHeads * config.headDim;
  const f = config.intermediateSize;
  const attention = (name: LinearName, key: string, outFeatures: number, inFeatures: number): LinearSpec => ({
    name,
    key: `model.layers.${layer}.self_attn.${key}`,
    outFeatures,
    inFeatures,
    bias: config.attentionBias,
  });
  const mlp = (name: LinearName, key: string, outFeatures: number, inFeatures: number): LinearSpec => ({
    name,
    key: `model.layers.${layer}.mlp.${key}`,
    outFeatures,
    inFeatures,
    bias: config.mlpBias,
  });
  return [
    attention("qProj", "q_proj", q, d),
    attention("kProj", "k_proj", kv, d),
    attention("vProj", "v_proj", kv, d),
    attention("oProj", "o_proj", d, q),
    mlp("gateProj", "gate_proj", f, d),
    mlp("upProj", "up_proj", f, d),
    mlp("downProj", "down_proj", d, f),
  ];
}

/** Buffers that old checkpoints carry and every engine computes itself. */
export function isComputedBuffer(key: string): boolean {
  return /\.(rotary_emb\.inv_freq|self_attn\.(bias|masked_bias))$/.test(key);
}

const floatDTypes: readonly FloatDType[] = ["F16", "BF16", "F32"];

/** Index of the first NaN or infinity among the whole elements of `bytes`, which lie at `byteOffset` of their tensor; -1 without one. */
function findNonFinite(bytes: Uint8Array, byteOffset: number, dtype: FloatDType): number {
  const width = dtypeBits[dtype] / 8;
  for (let at = (width - (byteOffset % width)) % width; at + width <= bytes.length; at += width) {
    const top = bytes[at + width - 1]!;
    const exponentFull = dtype === "F16" ? (top & 0x7c) === 0x7c : (top & 0x7f) === 0x7f && bytes[at + width - 2]! >= 0x80;
    if (exponentFull) return (byteOffset + at) / width;
  }
  return -1;
}

/** A ref in place of a tensor that has a problem: reading it raises the problem again. */
function brokenRef(key: string, shape: readonly number[], problem: GureumError): TensorRef {
  return { key, dtype: "F32", shape, byteLength: 0, readInto: () => Promise.reject(problem) };
}

/**
 * Says where each weight lies. Reads of scales, norms and biases (in pieces of whole elements) refuse NaN and infinity. With a `report` that does not throw, refs of tensors with problems throw them when read.
 * @throws GureumError "missing-tensor", "dtype", "shape" or "format", naming file and tensor, as far as `report` does.
 */
export function planWeights(config: LlamaConfig, table: TensorTable, report: Report = raise): LlamaWeightRefs {
  const { tensors } = table;
  const at = (key: string): string => `${table.name} > ${quote(key)}`;
  const ref = (key: string, dtypes: readonly DType[], shape: readonly number[], finite = false): TensorRef => {
    const broken = (problem: GureumError): TensorRef => {
      report(problem);
      return brokenRef(key, shape, problem);
    };
    const tensor = tensors.get(key);
    if (!tensor) return broken(new GureumError("missing-tensor", { where: at(key), what: "the checkpoint has no such tensor" }));
    const { info, shard } = tensor;
    const where = `${shard.file.source.name} > ${quote(key)}`;
    if (!dtypes.includes(info.dtype))
      return broken(new GureumError("dtype", { where, what: "dtype", expected: dtypes.join(" or "), got: info.dtype }));
    if (info.shape.length !== shape.length || info.shape.some((size, axis) => size !== shape[axis]))
      return broken(
        new GureumError("shape", {
          where,
          what: "shape",
          expected: `[${shape.join(", ")}]`,
          got: `[${info.shape.slice(0, 8).join(", ")}]`,
        }),
      );
    return {
      key,
      dtype: info.dtype as TensorRef["dtype"],
      shape,
      byteLength: info.byteLength,
      async readInto(byteOffset, target) {
        await readTensorInto(tensor, byteOffset, target);
        const broken = finite ? findNonFinite(target, byteOffset, info.dtype as FloatDType) : -1;
        if (broken >= 0)
          throw new GureumError("non-finite", { where, what: `NaN or infinity at element ${broken}`, expected: "finite numbers" });
      },
    };
  };

  const linear = ({ key, outFeatures, inFeatures, bias }: LinearSpec): LinearRef => {
    const biasRef = bias ? ref(`${key}.bias`, floatDTypes, [outFeatures], true) : null;
    if (!tensors.has(`${key}.qweight`))
      return {
        kind: "dense",
        outFeatures,
        inFeatures,
        weight: ref(`${key}.weight`, floatDTypes, [outFeatures, inFeatures]),
        bias: biasRef,
      };
    if (tensors.has(`${key}.weight`))
      report(new GureumError("format", { where: at(key), what: "both .weight and .qweight are there", expected: "one of them" }));
    if (!config.awq) report(new GureumError("format", { where: at(key), what: "int4 tensors, but the config has no quantization_config" }));
    const groupSize = config.awq && config.awq.groupSize !== "whole" ? config.awq.groupSize : inFeatures;
    try {
      checkAwqShape(outFeatures, inFeatures, groupSize);
    } catch (error) {
      const problem = new GureumError("shape", { ...(error as GureumError).details, where: at(key) });
      report(problem);
      return { kind: "dense", outFeatures, inFeatures, weight: brokenRef(key, [outFeatures, inFeatures], problem), bias: biasRef };
    }
    const groups = inFeatures / groupSize;
    return {
      kind: "awq",
      outFeatures,
      inFeatures,
      groupSize,
      qweight: ref(`${key}.qweight`, ["I32"], [inFeatures, outFeatures / 8]),
      qzeros: ref(`${key}.qzeros`, ["I32"], [groups, outFeatures / 8]),
      scales: ref(`${key}.scales`, ["F16"], [groups, outFeatures], true),
      bias: biasRef,
    };
  };

  const { hiddenSize, vocabSize } = config;
  const embedTokens = ref(embedTokensKey, floatDTypes, [vocabSize, hiddenSize]);
  const layers: LayerTree<LinearRef, TensorRef>[] = [];
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const linears = Object.fromEntries(layerLinears(config, layer).map((spec) => [spec.name, linear(spec)])) as Record<
      LinearName,
      LinearRef
    >;
    layers.push({
      inputLayernorm: ref(layerNormKey(layer, "inputLayernorm"), floatDTypes, [hiddenSize], true),
      postAttentionLayernorm: ref(layerNormKey(layer, "postAttentionLayernorm"), floatDTypes, [hiddenSize], true),
      ...linears,
    });
  }
  const norm = ref(normKey, floatDTypes, [hiddenSize], true);
  const lmHead = config.tieWordEmbeddings ? embedTokens : ref(lmHeadKey, floatDTypes, [vocabSize, hiddenSize]);
  return { embedTokens, layers, norm, lmHead };
}

/** Every tensor of the tree once, in reading order. */
export function listRefs(refs: LlamaWeightRefs): TensorRef[] {
  const list: TensorRef[] = [refs.embedTokens];
  const linear = (ref: LinearRef): void => {
    if (ref.kind === "dense") list.push(ref.weight);
    else list.push(ref.qweight, ref.qzeros, ref.scales);
    if (ref.bias) list.push(ref.bias);
  };
  for (const layer of refs.layers) {
    list.push(layer.inputLayernorm);
    for (const ref of [layer.qProj, layer.kProj, layer.vProj, layer.oProj]) linear(ref);
    list.push(layer.postAttentionLayernorm);
    for (const ref of [layer.gateProj, layer.upProj, layer.downProj]) linear(ref);
  }
  list.push(refs.norm);
  if (refs.lmHead !== refs.embedTokens) list.push(refs.lmHead);
  return list;
}

/** Bytes read at a time: progress moves, and an abort is heard, this often. */
const chunkBytes = 16 * 2 ** 20;

/**
 * Reads the whole tree. Dense matrices keep their bits, norms and biases are widened to f32 (exact); each tensor lies in its own
 * ArrayBuffer, read in place, so host memory is the size of the tensors. The host must be little-endian, as every JavaScript host is.
 * @param onProgress after each piece: bytes read so far, and in all.
 * @throws GureumError "io", "out-of-memory", or "non-finite" for a NaN or infinite scale, norm or bias, naming file and tensor.
 */
export async function readWeights(
  refs: LlamaWeightRefs,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<LlamaWeights> {
  const total = listRefs(refs).reduce((sum, ref) => sum + ref.byteLength, 0);
  let done = 0;
  onProgress?.(0, total);
  const bytesOf = async (ref: TensorRef): Promise<ArrayBuffer> => {
    const bytes = allocateBytes(ref.byteLength, ref.key);
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const piece = bytes.subarray(at, Math.min(at + chunkBytes, bytes.length));
      await ref.readInto(at, piece);
      done += piece.length;
      onProgress?.(done, total);
    }
    return bytes.buffer;
  };
  const vector = async (ref: TensorRef): Promise<Float32Array> => widen(await bytesOf(ref), ref.dtype as FloatDType);
  const dense = async (ref: TensorRef): Promise<DenseMatrix> => {
    const buffer = await bytesOf(ref);
    const data = ref.dtype === "F32" ? new Float32Array(buffer) : new Uint16Array(buffer);
    return { kind: "dense", dtype: ref.dtype as FloatDType, outFeatures: ref.shape[0]!, inFeatures: ref.shape[1]!, data };
  };
  const matrix = async (ref: LinearRef): Promise<Matrix> => {
    if (ref.kind === "dense") return dense(ref.weight);
    const { outFeatures, inFeatures, groupSize } = ref;
    const qweight = new Int32Array(await bytesOf(ref.qweight));
    const qzeros = new Int32Array(await bytesOf(ref.qzeros));
    const scales = new Uint16Array(await bytesOf(ref.scales));
    return { kind: "awq", outFeatures, inFeatures, groupSize, qweight, qzeros, scales };
  };
  const linear = async (ref: LinearRef): Promise<Linear> => ({ weight: await matrix(ref), bias: ref.bias && (await vector(ref.bias)) });

  const embedTokens = await dense(refs.embedTokens);
  const layers: LayerWeights[] = [];
  for (const layer of refs.layers) {
    layers.push({
      inputLayernorm: await vector(layer.inputLayernorm),
      qProj: await linear(layer.qProj),
      kProj: await linear(layer.kProj),
      vProj: await linear(layer.vProj),
      oProj: await linear(layer.oProj),
      postAttentionLayernorm: await vector(layer.postAttentionLayernorm),
      gateProj: await linear(layer.gateProj),
      upProj: await linear(layer.upProj),
      downProj: await linear(layer.downProj),
    });
  }
  const norm = await vector(refs.norm);
  const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await dense(refs.lmHead);
  return { embedTokens, layers, norm, lmHead };
}

/** Elements of a float tensor as f32, exact. F32 is a view of the same buffer. */
function widen(buffer: ArrayBuffer, dtype: FloatDType): Float32Array {
  if (dtype === "F32") return new Float32Array(buffer);
  const bits = new Uint16Array(buffer);
  const table = f16Values();
  return Float32Array.from(bits, dtype === "F16" ? (b) => table[b]! : bf16Value);
}

/** A model folder opened: config parsed, headers checked, nothing read. */
export interface Checkpoint {
  readonly config: LlamaConfig;
  readonly refs: LlamaWeightRefs;
  /** Closes the files; refs must not be read after it. */
  close(): Promise<void>;
}

/**
 * Opens a model folder: config first, so that what cannot run is refused before any weight file is opened; then the headers.
 * @throws GureumError as `readConfig`, `openTensors` and `planWeights`; the place names folder, file and tensor.
 */
export async function openCheckpoint(store: ByteStore): Promise<Checkpoint> {
  const config = await readConfig(store);
  const table = await openTensors(store);
  try {
    return { config, refs: planWeights(config, table), close: table.close };
  } catch (error) {
    await table.close();
    throw error;
  }
}

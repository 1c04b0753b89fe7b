/**
 * From a checkpoint's tensors to references: `planWeights` checks every key, dtype and shape against the config and
 * reads nothing. Parts and keys come from core/model/layer.ts, what an int4 linear is stored as from layouts/; what the
 * model would not compute with is refused, not dropped. Keys and shapes follow transformers `modeling_llama.py`; a
 * linear is int4 where its words are present, as vLLM decides.
 */
import type { LlamaConfig } from "../config.ts";
import type { DType, FloatDType } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import { quote } from "../json.ts";
import { type LinearPart, linearParts, makeLayer, partKey } from "../model/layer.ts";
import type { LinearRef, LlamaWeightRefs, TensorRef } from "../model/weights.ts";
import { checkAwqShape } from "../quant/awq-format.ts";
import type { Warn } from "./config.ts";
import { checkSymmetric, convertedScales, convertedWords, type Rounding, repeatedZeros } from "./convert.ts";
import { findNonFinite } from "./finite.ts";
import { layoutOf, layouts } from "./layouts/index.ts";
import type { Int4Shape, StoredTensor } from "./layouts/layout.ts";
import { type Report, raise, readTensorInto, type TensorTable } from "./shards.ts";

export const embedTokensKey = "model.embed_tokens.weight";
export const normKey = "model.norm.weight";
export const lmHeadKey = "lm_head.weight";

/**
 * Buffers that old checkpoints carry and every engine computes itself, and scales of caches that are not quantized
 * here.
 */
const passedOver =
  /\.(rotary_emb\..*|inv_freq|cos_cached|sin_cached|self_attn\.(bias|masked_bias|[kvq]_scale|[kv]_zero_point)|[kv]_proj\.(output_scale|[kv]_scale))$/;

const floatDTypes: readonly FloatDType[] = ["F16", "BF16", "F32"];

const oneRelease = "check that config.json and the weights are of one release";

/** Bytes looked through for NaN at a time: a target may be memory of a device that is slow to read. */
const checkedBytes = 2 ** 22;

/** A ref in place of a tensor that has a problem: reading it raises the problem again. */
function brokenRef(key: string, shape: readonly number[], problem: GureumError): TensorRef {
  return { key, dtype: "F32", shape, byteLength: 0, readInto: () => Promise.reject(problem) };
}

export interface PlanOptions {
  /** Takes problems; by default the first one is thrown. */
  readonly report?: Report;
  /** Takes what is odd and stops nothing. */
  readonly warn?: Warn;
  /** Counts the scales that had to be rounded, while weights are read. */
  readonly rounding?: Rounding;
}

/**
 * Says where each weight lies. Reads of float tensors (in pieces of whole elements) refuse NaN and infinity. With a
 * `report` that does not throw, refs of tensors with problems throw them when read.
 * @throws GureumError "missing-tensor", "dtype", "shape", "unsupported" or "format", naming file and tensor, as far as
 * `report` does.
 */
export function planWeights(config: LlamaConfig, table: TensorTable, options: PlanOptions = {}): LlamaWeightRefs {
  const { warn = () => {}, rounding = { numbers: 0, tensors: 0 } } = options;
  const { tensors, disagreements } = table;
  const at = (key: string): string => `${table.name} > ${quote(key)}`;
  /** Whether files or index tell of a tensor: one that the index alone knows is missing, not absent. */
  const has = (key: string): boolean => tensors.has(key) || disagreements.has(key);
  const used = new Set<string>();
  const reported = new Set<GureumError>();
  const report = (problem: GureumError): void => {
    if (reported.has(problem)) return;
    reported.add(problem);
    (options.report ?? raise)(problem);
  };

  const ref = (key: string, dtypes: readonly DType[], shape: readonly number[]): TensorRef => {
    used.add(key);
    const broken = (problem: GureumError): TensorRef => {
      report(problem);
      return brokenRef(key, shape, problem);
    };
    const disagreement = disagreements.get(key);
    if (disagreement) return broken(disagreement);
    const tensor = tensors.get(key);
    if (!tensor)
      return broken(new GureumError("missing-tensor", { where: at(key), what: "the checkpoint has no such tensor", remedy: oneRelease }));
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
          remedy: oneRelease,
        }),
      );
    const dtype = info.dtype as TensorRef["dtype"];
    const isFloat = floatDTypes.includes(dtype as FloatDType);
    return {
      key,
      dtype,
      shape,
      byteLength: info.byteLength,
      place: where,
      async readInto(byteOffset, target) {
        if (!isFloat) return readTensorInto(tensor, byteOffset, target);
        const part = new Uint8Array(Math.min(checkedBytes, target.length));
        for (let done = 0; done < target.length; done += part.length) {
          const bytes = part.subarray(0, Math.min(part.length, target.length - done));
          await readTensorInto(tensor, byteOffset + done, bytes);
          const element = findNonFinite(bytes, byteOffset + done, dtype as FloatDType);
          if (element >= 0)
            throw new GureumError("non-finite", {
              where,
              what: `NaN or infinity at element ${element}`,
              expected: "finite numbers",
              remedy: "the file is damaged, or the weights overflowed when they were saved: download it again, or take another release",
            });
          target.set(bytes, done);
        }
      },
    };
  };

  let unexplained: GureumError | undefined;
  /** An int4 linear of the config's layout, as AWQ's words. */
  const int4 = (key: string, outFeatures: number, inFeatures: number, bias: TensorRef | null): LinearRef => {
    const { quantization } = config;
    const broken = (problem: GureumError): LinearRef => {
      for (const name of tensors.keys()) if (name.startsWith(`${key}.`)) used.add(name);
      report(problem);
      return { kind: "dense", outFeatures, inFeatures, weight: brokenRef(key, [outFeatures, inFeatures], problem), bias };
    };
    if (!quantization) {
      unexplained ??= new GureumError("format", {
        where: at(key),
        what: "int4 tensors, but the config has no quantization_config",
        remedy: "take config.json from the same release as the weights",
      });
      return broken(unexplained);
    }
    const groupSize = quantization.groupSize === "whole" ? inFeatures : quantization.groupSize;
    try {
      checkAwqShape(outFeatures, inFeatures, groupSize);
    } catch (error) {
      return broken(new GureumError("shape", { remedy: oneRelease, ...(error as GureumError).details, where: at(key) }));
    }
    const layout = layoutOf(quantization);
    const shape: Int4Shape = { N: outFeatures, K: inFeatures, groups: inFeatures / groupSize };
    const stored = (tensor: StoredTensor): TensorRef => ref(key + tensor.suffix, tensor.dtypes, tensor.shape(shape));
    const checks = layout.checks
      .filter(({ suffix }) => has(key + suffix))
      .map((check) => ({ ref: stored(check), check: (bytes: Uint8Array): void => check.check(bytes, shape) }));
    const hasZeros = !(layout.omitsZeros && quantization.symmetric) || has(key + layout.qzeros.suffix);
    // Numbers that AWQ's words do not hold are found by making them.
    const checkZeros = quantization.symmetric ? checkSymmetric : (): void => {};
    return {
      kind: "awq",
      outFeatures,
      inFeatures,
      groupSize,
      qweight: convertedWords(stored(layout.qweight), layout.qweight, shape, [inFeatures, outFeatures / 8], checks),
      qzeros: hasZeros
        ? convertedWords(stored(layout.qzeros), layout.qzeros, shape, [shape.groups, outFeatures / 8], [], checkZeros)
        : repeatedZeros(`${key}${layout.qzeros.suffix}`, shape),
      scales: convertedScales(stored(layout.scales), layout.scales, shape, rounding),
      bias,
    };
  };

  const linear = (part: LinearPart, layer: number): LinearRef => {
    const key = partKey(layer, part);
    const [outFeatures, inFeatures] = [part.outFeatures(config), part.inFeatures(config)];
    const biasKey = `${key}.bias`;
    if (!part.bias(config) && tensors.has(biasKey)) warn(`${at(biasKey)}: the config tells of no bias here; it is used`);
    const bias = part.bias(config) || tensors.has(biasKey) ? ref(biasKey, floatDTypes, [outFeatures]) : null;
    const own = config.quantization ? [layoutOf(config.quantization)] : layouts;
    const isInt4 = own.some(({ qweight }) => has(key + qweight.suffix));
    if (isInt4 && tensors.has(`${key}.weight`)) {
      used.add(`${key}.weight`);
      report(new GureumError("format", { where: at(key), what: "both dense and int4 weights are there", expected: "one of them" }));
    }
    if (isInt4) return int4(key, outFeatures, inFeatures, bias);
    return { kind: "dense", outFeatures, inFeatures, weight: ref(`${key}.weight`, floatDTypes, [outFeatures, inFeatures]), bias };
  };

  const { hiddenSize, vocabSize } = config;
  const vocabulary = (key: string): TensorRef => ref(key, floatDTypes, [vocabSize, hiddenSize]);
  // Tied models keep one of the two: transformers drops the head, some converters the embedding. Where both are there, both are used:
  // they need not be equal.
  const tiedKey = !has(embedTokensKey) && has(lmHeadKey) ? lmHeadKey : embedTokensKey;
  const embedTokens = vocabulary(config.tieWordEmbeddings ? tiedKey : embedTokensKey);
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    makeLayer(
      (part) => linear(part, layer),
      (part) => (part.present(config) ? ref(`${partKey(layer, part)}.weight`, floatDTypes, [part.length(config)]) : null),
    ),
  );
  const norm = ref(normKey, floatDTypes, [hiddenSize]);
  const hasBoth = has(embedTokensKey) && has(lmHeadKey);
  if (config.tieWordEmbeddings && hasBoth) warn(`${at(lmHeadKey)}: the config ties the head to the embedding; this one is used`);
  const isTied = config.tieWordEmbeddings && !hasBoth;
  const lmHead = isTied ? embedTokens : vocabulary(lmHeadKey);
  const isOurs = ownedBy(config);
  for (const [name, { shard }] of tensors) {
    if (used.has(name)) continue;
    if (passedOver.test(name)) continue;
    if (isOurs(name))
      report(
        new GureumError("unsupported", {
          where: `${shard.file.source.name} > ${quote(name)}`,
          what: `${config.architecture} has no such part, so it would be left out of the computation`,
          remedy: `${oneRelease}; merge adapters first`,
        }),
      );
    else warn(`${table.name} > ${quote(name)}: not a part of this architecture, it is not used`);
  }
  for (const [name, problem] of disagreements) if (!used.has(name)) warn(`${problem.message} — it is not used`);
  return { embedTokens, layers, norm, lmHead };
}

/** Whether a tensor is within a part that the model computes: there a stranger would change the result. */
function ownedBy({ numHiddenLayers }: LlamaConfig): (name: string) => boolean {
  const modules = new Set(["lm_head", "model.norm", "model.embed_tokens"]);
  for (let layer = 0; layer < numHiddenLayers; layer++) modules.add(`model.layers.${layer}`);
  return (name) => {
    const module = /^(model\.layers\.\d+|model\.norm|model\.embed_tokens|lm_head)\./.exec(name)?.[1];
    return module !== undefined && modules.has(module);
  };
}

/** The linears of the model and how many of them are int4. */
export function countInt4(refs: LlamaWeightRefs): { readonly linears: number; readonly int4: number } {
  const all = refs.layers.flatMap((layer) => linearParts.map(({ name }) => layer[name]));
  return { linears: all.length, int4: all.filter(({ kind }) => kind === "awq").length };
}

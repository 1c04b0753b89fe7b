/**
 * config.json, generation_config.json and the files of quantizers to a LlamaConfig. What the engine does not run is
 * refused by name, from these files alone, before any weight is opened. Defaults for absent keys: families.ts;
 * quantization: layouts/.
 */

import type { LlamaConfig, Quantization } from "../config.ts";
import { GureumError, within, withinAsync } from "../errors.ts";
import { asReal, type Json, jsonKind, parseJson, quote } from "../json.ts";
import type { ByteStore } from "./byte-source.ts";
import { type Family, parseFamily } from "./families.ts";
import { type Fields, fieldsOf } from "./fields.ts";
import { openFolder } from "./folder.ts";
import { detectLayout } from "./layouts/index.ts";
import { parseRope } from "./rope-config.ts";

export const configFile = "config.json";
export const generationConfigFile = "generation_config.json";
/**
 * What quantizers wrote beside config.json before it had a `quantization_config`, and the method that goes without
 * saying in it.
 */
const quantizerFiles: readonly (readonly [string, "awq" | "gptq"])[] = [
  ["quant_config.json", "awq"],
  ["quantize_config.json", "gptq"],
];

/** A config file of more bytes than this is not one. */
const maxConfigBytes = 16 * 2 ** 20;
const maxLayers = 4096;
const maxContext = 2 ** 31 - 1;

/** Takes a sentence about something odd that stops nothing. */
export type Warn = (message: string) => void;
const ignore: Warn = () => {};

const unsupported = (where: string, what: string, expected: string, got: string): GureumError =>
  new GureumError("unsupported", { where, what, expected, got });

/**
 * The one kind of a model's layers that `layer_types` names (Gemma, Cohere and others mix them); null where it is
 * absent.
 */
function parseLayerTypes(config: Fields): "full_attention" | "sliding_attention" | null {
  if (!config.has("layer_types")) return null;
  const types = config.get("layer_types");
  if (!Array.isArray(types))
    throw new GureumError("format", { where: "layer_types", what: "wrong type", expected: "a list", got: jsonKind(types) });
  const kinds = [...new Set(types.map(jsonKind))];
  if (kinds.length > 1) throw unsupported("layer_types", "layers of different kinds", "one kind", kinds.slice(0, 4).join(", "));
  const kind = types[0];
  if (kind !== undefined && kind !== "full_attention" && kind !== "sliding_attention")
    throw unsupported("layer_types", "kind of layer", '"full_attention" or "sliding_attention"', jsonKind(kind));
  return kind ?? null;
}

function parseSlidingWindow(config: Fields, { architecture, slides }: Family, layers: number): number | null {
  const kind = parseLayerTypes(config);
  const refuse = (where: string, what: string, remedy: string): GureumError => new GureumError("unsupported", { where, what, remedy });
  // vLLM slides there, transformers with its cache alone.
  if (slides === null && kind === "sliding_attention")
    throw refuse("layer_types", `sliding attention, which ${architecture} has not`, "take layer_types out for full attention");
  // Where layer_types are given they alone decide, for Mistral too.
  if (slides === null || kind === "full_attention") return null;
  const isUsed = config.boolean("use_sliding_window", slides);
  const window = config.values.get("sliding_window") === null ? null : config.count("sliding_window", 4096, maxContext);
  // transformers slides a Mistral all the same, vLLM does not.
  if (slides && !isUsed && window !== null)
    throw refuse("use_sliding_window", `false beside a window of ${window}`, "set sliding_window to null, or take use_sliding_window out");
  if (window === null || !isUsed) {
    if (kind) throw refuse("layer_types", "sliding attention without a window", "set sliding_window, and use_sliding_window for Qwen");
    return null;
  }
  if (slides || kind) return window;
  // Qwen's layers slide from max_window_layers on, 28 where the key is absent.
  const first = config.get("max_window_layers") === 0 ? 0 : config.count("max_window_layers", 28, maxLayers);
  if (first > 0 && first < layers)
    throw unsupported("max_window_layers", "layers of different kinds", "one kind", `full attention in ${first} of ${layers}`);
  return first === 0 ? window : null;
}

/** Ids within the vocabulary; a sequence can end with no other. */
function parseTokenIds(value: Json, where: string, vocabSize: number, warn: Warn): number[] {
  if (value === null) return [];
  return (Array.isArray(value) ? value : [value]).flatMap((id) => {
    if (typeof id !== "number" && typeof id !== "bigint")
      throw new GureumError("format", { where, what: "wrong type", expected: "a token id or a list of them", got: jsonKind(id) });
    if (typeof id === "number" && id >= 0 && id < vocabSize) return [id];
    warn(`${where}: token id outside the vocabulary, expected 0 to ${vocabSize - 1}, got ${jsonKind(id)} — it is left out`);
    return [];
  });
}

/** The other files, where the folder has them. */
export interface ConfigCompanions {
  /** quant_config.json, AutoAWQ's */
  readonly quantConfig?: Uint8Array;
  /** quantize_config.json, AutoGPTQ's and GPTQModel's */
  readonly quantizeConfig?: Uint8Array;
  readonly generationConfig?: Uint8Array;
}

function parseFields(file: string, bytes: Uint8Array): Fields {
  return within(file, () => {
    try {
      return fieldsOf(parseJson(bytes), "");
    } catch (error) {
      if (!(error instanceof GureumError)) throw error;
      throw new GureumError(error.code, { ...error.details, remedy: "download the file again" }, error.cause);
    }
  });
}

/** What `body` gives; null where generation_config.json is broken: config.json says the same. */
function warned<T>(warn: Warn, body: () => T): T | null {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof GureumError)) throw error;
    warn(`${error.message} (${configFile} is taken instead)`);
    return null;
  }
}

/**
 * The bytes of config.json (and companions) as a LlamaConfig.
 * @throws GureumError "format" (not JSON, wrong type, missing key), "range" (a number no such model has), "unsupported"
 * (well-formed, but an architecture, quantization, activation or scaling this engine does not run); the place is `file
 * > key`.
 */
export function parseConfig(bytes: Uint8Array, companions: ConfigCompanions = {}, warn: Warn = ignore): LlamaConfig {
  const config = parseFields(configFile, bytes);
  const family = within(configFile, () => parseFamily(config));
  const shape = within(configFile, () => parseShape(config, family));
  warnOfForeignNumbers(config, family, shape, warn);
  const { generationConfig } = companions;
  const generation = generationConfig ? warned(warn, () => parseFields(generationConfigFile, generationConfig)) : null;
  const read = (from: Fields, file: string, key: string): number[] =>
    within(file, () => parseTokenIds(from.get(key), key, shape.vocabSize, (message) => warn(`${file} > ${message}`)));
  const ids = (key: string, otherwise: number | undefined): number[] => {
    if (generation?.has(key)) {
      const own = warned(warn, () => read(generation, generationConfigFile, key));
      if (own) return own;
    }
    if (config.values.has(key)) return read(config, configFile, key);
    return otherwise === undefined || otherwise >= shape.vocabSize ? [] : [otherwise];
  };
  return {
    ...shape,
    quantization: parseQuantization(config, companions),
    bosTokenId: ids("bos_token_id", family.tokenIds?.[0])[0] ?? null,
    eosTokenIds: ids("eos_token_id", family.tokenIds?.[1]),
  };
}

function parseQuantization(config: Fields, { quantConfig, quantizeConfig }: ConfigCompanions): Quantization | null {
  // MLX writes `quantization`, and often the same again as a quantization_config; neither names a method.
  const mlx = config.get("quantization") instanceof Map ? "mlx" : undefined;
  const places = [
    ["quantization_config", mlx],
    ["compression_config", "compressed-tensors"],
    ...(mlx ? [["quantization", mlx]] : []),
  ] as const;
  for (const [key, method] of places)
    if (config.has(key)) return within(configFile, () => detectLayout(fieldsOf(config.get(key), key), method));
  for (const [i, bytes] of [quantConfig, quantizeConfig].entries()) {
    if (!bytes) continue;
    const [file, method] = quantizerFiles[i]!;
    return within(file, () => {
      const fields = fieldsOf(parseJson(bytes), "");
      // AutoAWQ's keys say what the file's name does not.
      const isAwq = ["w_bit", "q_group_size", "zero_point"].some((key) => fields.has(key));
      return detectLayout(fields, isAwq ? "awq" : method);
    });
  }
  return null;
}

type Shape = Omit<LlamaConfig, "quantization" | "bosTokenId" | "eosTokenIds">;

/** Keys with which families that are not here change what a layer computes. */
const foreignNumbers = /_multiplier$|_softcapping$|^logits?_scal|^scale_(emb|depth)$|^clip_qkv$/;

/** Says which of those are there and would change something, and of a window where none slides. */
function warnOfForeignNumbers(config: Fields, { slides }: Family, shape: Shape, warn: Warn): void {
  const { architecture, headDim, maxPositionEmbeddings } = shape;
  for (const [key, value] of config.values) {
    const number = asReal(value);
    const isWindow = key === "sliding_window" && slides === null && config.get("use_sliding_window") !== false;
    if (number === null || !(isWindow ? number < maxPositionEmbeddings : foreignNumbers.test(key))) continue;
    // Attention's scale is 1 / √head_dim here.
    const neutral = key === "attention_multiplier" ? headDim ** -0.5 : 1;
    if (isWindow || Math.abs(number / neutral - 1) > 1e-6)
      warn(`${configFile} > ${key}: ${architecture} has no such number, it is not used`);
  }
}

function parseShape(config: Fields, family: Family): Shape {
  if (!config.boolean("is_causal", true)) throw unsupported("is_causal", "attention to later tokens", "true", "false");
  const activation = config.string("hidden_act", "silu");
  // One function of two names.
  if (activation !== "silu" && activation !== "swish") throw unsupported("hidden_act", "activation", '"silu"', quote(activation));

  const hiddenSize = config.count("hidden_size");
  const numHiddenLayers = config.count("num_hidden_layers", undefined, maxLayers);
  const numAttentionHeads = config.count("num_attention_heads");
  const numKeyValueHeads = parseKeyValueHeads(config, family, numAttentionHeads);
  if (!config.has("head_dim") && family.headDim === null && hiddenSize % numAttentionHeads !== 0)
    throw new GureumError("range", {
      where: "hidden_size",
      what: "not a multiple of num_attention_heads, and there is no head_dim",
      expected: `a multiple of ${numAttentionHeads}`,
      got: `${hiddenSize}`,
    });
  const headDim = config.count("head_dim", family.headDim ?? hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0)
    throw new GureumError("range", { where: "head_dim", what: "rotary embedding", expected: "an even number", got: `${headDim}` });
  if (headDim * numAttentionHeads > 2 ** 24)
    throw new GureumError("range", {
      where: "head_dim",
      what: "num_attention_heads × head_dim",
      expected: "at most 16777216",
      got: `${headDim * numAttentionHeads}`,
    });
  const maxPositionEmbeddings = config.count("max_position_embeddings", family.maxPositionEmbeddings, maxContext);
  const flag = (value: boolean | string): boolean => (typeof value === "string" ? config.boolean(value, false) : value);

  return {
    architecture: family.architecture,
    vocabSize: config.count("vocab_size"),
    hiddenSize,
    intermediateSize: config.count("intermediate_size"),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    rmsNormEps: config.positive("rms_norm_eps", 1e-6),
    ...parseRope(config, { maxPositionEmbeddings, headDim }),
    maxPositionEmbeddings,
    slidingWindow: parseSlidingWindow(config, family, numHiddenLayers),
    attentionBias: flag(family.biases[0]),
    attentionOutputBias: flag(family.biases[1]),
    mlpBias: flag(family.biases[2]),
    qkNorm: family.qkNorm,
    tieWordEmbeddings: config.boolean("tie_word_embeddings", false),
  };
}

/** Absent: the family's default; null: as many as there are heads. */
function parseKeyValueHeads(config: Fields, { numKeyValueHeads }: Family, heads: number): number {
  const absent = config.values.has("num_key_value_heads") ? heads : (numKeyValueHeads ?? heads);
  const count = config.count("num_key_value_heads", absent);
  if (heads % count !== 0)
    throw new GureumError("range", {
      where: "num_key_value_heads",
      what: "does not divide num_attention_heads",
      expected: `a divisor of ${heads}`,
      got: `${count}`,
    });
  return count;
}

/**
 * The config of a model folder.
 * @param warn takes what is odd and stops nothing
 * @throws GureumError as `parseConfig`, "not-found" without config.json, or what the store throws; the place begins
 * with the folder.
 */
export async function readConfig(store: ByteStore, warn: Warn = ignore): Promise<LlamaConfig> {
  const folder = await openFolder(store);
  const read = (fileName: string): Promise<Uint8Array | null> => withinAsync(store.name, () => folder.read(fileName, maxConfigBytes));
  const config = await read(configFile);
  if (!config) throw new GureumError("not-found", { where: store.name, what: `no ${configFile}`, remedy: "give the folder of a model" });
  const [quantConfig, quantizeConfig] = [await read(quantizerFiles[0]![0]), await read(quantizerFiles[1]![0])];
  const generationConfig = await read(generationConfigFile).catch((error: unknown) => {
    if (!(error instanceof GureumError)) throw error;
    warn(`${error.message} (${configFile} is taken instead)`);
    return null;
  });
  const companions: ConfigCompanions = {
    ...(quantConfig ? { quantConfig } : {}),
    ...(quantizeConfig ? { quantizeConfig } : {}),
    ...(generationConfig ? { generationConfig } : {}),
  };
  return withinAsync(store.name, async () => parseConfig(config, companions, (message) => warn(`${store.name} > ${message}`)));
}

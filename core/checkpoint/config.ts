/**
 * config.json, quant_config.json and generation_config.json to a LlamaConfig. What the engine does not run is refused by name, from
 * these files alone, before any weight is opened. Defaults for absent keys are those of transformers 5 `configuration_llama.py` and
 * `configuration_mistral.py`; AWQ keys follow AutoAWQ 0.2.9 `awq/models/_config.py` and transformers' `AwqConfig`.
 */

import type { AwqConfig, LlamaConfig } from "../config.ts";
import { GureumError, within, withinAsync } from "../errors.ts";
import { type ByteStore, readBytes } from "./byte-source.ts";
import { type Fields, fieldsOf } from "./fields.ts";
import { type Json, jsonKind, parseJson, quote } from "./json.ts";
import { parseRope } from "./rope-config.ts";

export const configFile = "config.json";
export const quantConfigFile = "quant_config.json";
export const generationConfigFile = "generation_config.json";

/** A config file of more bytes than this is not one. */
const maxConfigBytes = 16 * 2 ** 20;
const maxLayers = 4096;
const maxContext = 2 ** 31 - 1;

const architectures = ["LlamaForCausalLM", "MistralForCausalLM"] as const;
type Architecture = LlamaConfig["architecture"];

const unsupported = (where: string, what: string, expected: string, got: string): GureumError =>
  new GureumError("unsupported", { where, what, expected, got });

function parseArchitecture(config: Fields): Architecture {
  const known = architectures.join(" or ");
  if (config.has("architectures")) {
    const names = config.get("architectures");
    if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== "string"))
      throw new GureumError("format", { where: "architectures", what: "wrong type", expected: "a list of names", got: jsonKind(names) });
    const name = architectures.find((architecture) => architecture === names[0]);
    if (!name || names.length > 1)
      throw unsupported("architectures", "unknown architecture", known, names.map((n) => quote(n as string)).join(", "));
    return name;
  }
  const type = config.string("model_type");
  if (type === "llama") return "LlamaForCausalLM";
  if (type === "mistral") return "MistralForCausalLM";
  throw unsupported("model_type", "unknown architecture", known, quote(type));
}

function parseSlidingWindow(config: Fields, architecture: Architecture): number | null {
  if (architecture !== "MistralForCausalLM" || !config.boolean("use_sliding_window", true)) return null;
  if (config.values.get("sliding_window") === null) return null;
  return config.count("sliding_window", 4096, maxContext);
}

/** Layers that differ in kind (Gemma, Cohere and others interleave them) are not this forward pass. */
function checkLayerTypes(config: Fields): void {
  if (!config.has("layer_types")) return;
  const types = config.get("layer_types");
  if (!Array.isArray(types))
    throw new GureumError("format", { where: "layer_types", what: "wrong type", expected: "a list", got: jsonKind(types) });
  const kinds = [...new Set(types.map(jsonKind))];
  if (kinds.length > 1) throw unsupported("layer_types", "layers of different kinds", "one kind", kinds.slice(0, 4).join(", "));
}

function parseAwq(quantization: Fields): AwqConfig {
  const method = quantization.string("quant_method").toLowerCase();
  if (method !== "awq") throw unsupported("quantization_config.quant_method", "quantization", '"awq"', quote(method));
  return parseAwqNumbers(quantization);
}

function parseAwqNumbers(quantization: Fields): AwqConfig {
  const { where } = quantization;
  const backend = quantization.string("backend", "autoawq").toLowerCase();
  if (backend === "llm-awq") throw unsupported(`${where}.backend`, "AWQ layout", '"autoawq"', quote(backend));
  for (const key of ["version", "format", "checkpoint_format"]) {
    const layout = quantization.string(key, "gemm").toLowerCase();
    if (layout !== "gemm") throw unsupported(`${where}.${key}`, "AWQ layout", '"gemm"', quote(layout));
  }
  const bits = quantization.count(quantization.has("bits") ? "bits" : "w_bit", 4);
  if (bits !== 4) throw unsupported(`${where}.bits`, "AWQ width", "4", `${bits}`);
  if (!quantization.boolean("zero_point", true))
    throw unsupported(`${where}.zero_point`, "AWQ without zero points (AutoAWQ's GEMM layout always has them)", "true", "false");
  const unconverted = quantization.get("modules_to_not_convert");
  if (unconverted !== null && !(Array.isArray(unconverted) && unconverted.every((name) => typeof name === "string")))
    throw new GureumError("format", {
      where: `${where}.modules_to_not_convert`,
      what: "wrong type",
      expected: "a list of names or null",
      got: jsonKind(unconverted),
    });
  const groupKey = quantization.has("group_size") ? "group_size" : "q_group_size";
  if (quantization.get(groupKey) === -1) return { groupSize: "whole" };
  return { groupSize: quantization.count(groupKey, 128) };
}

function parseTokenIds(value: Json, where: string, vocabSize: number): number[] {
  if (value === null) return [];
  return (Array.isArray(value) ? value : [value]).map((id) => {
    if (typeof id !== "number" && typeof id !== "bigint")
      throw new GureumError("format", { where, what: "wrong type", expected: "a token id or a list of them", got: jsonKind(id) });
    if (typeof id === "bigint" || id < 0 || id >= vocabSize)
      throw new GureumError("range", {
        where,
        what: "token id outside the vocabulary",
        expected: `0 to ${vocabSize - 1}`,
        got: jsonKind(id),
      });
    return id;
  });
}

/** The other two files, where the folder has them. */
export interface ConfigCompanions {
  readonly quantConfig?: Uint8Array;
  readonly generationConfig?: Uint8Array;
}

function parseFields(file: string, bytes: Uint8Array): Fields {
  return within(file, () => fieldsOf(parseJson(bytes), ""));
}

/**
 * The bytes of config.json (and companions) as a LlamaConfig.
 * @throws GureumError "format" (not JSON, wrong type, missing key), "range" (a number no such model has), "unsupported" (well-formed,
 * but an architecture, quantization, activation or scaling this engine does not run); the place is `file > key`.
 */
export function parseConfig(bytes: Uint8Array, companions: ConfigCompanions = {}): LlamaConfig {
  const config = parseFields(configFile, bytes);
  const parsed = within(configFile, () => parseShape(config));
  const generation = companions.generationConfig ? parseFields(generationConfigFile, companions.generationConfig) : null;
  const ids = (key: string, otherwise: number): number[] => {
    if (generation?.has(key)) return within(generationConfigFile, () => parseTokenIds(generation.get(key), key, parsed.vocabSize));
    if (!config.values.has(key)) return otherwise < parsed.vocabSize ? [otherwise] : [];
    return within(configFile, () => parseTokenIds(config.get(key), key, parsed.vocabSize));
  };
  return {
    ...parsed,
    awq: parseQuantization(config, companions.quantConfig),
    bosTokenId: ids("bos_token_id", 1)[0] ?? null,
    eosTokenIds: ids("eos_token_id", 2),
  };
}

function parseQuantization(config: Fields, quantConfig: Uint8Array | undefined): AwqConfig | null {
  if (config.has("quantization_config"))
    return within(configFile, () => parseAwq(fieldsOf(config.get("quantization_config"), "quantization_config")));
  if (config.has("compression_config"))
    throw unsupported(`${configFile} > compression_config`, "quantization", '"awq"', '"compressed-tensors"');
  if (!quantConfig) return null;
  return within(quantConfigFile, () => {
    const fields = fieldsOf(parseJson(quantConfig), "");
    return fields.has("quant_method") ? parseAwq(fields) : parseAwqNumbers(fields);
  });
}

function parseShape(config: Fields): Omit<LlamaConfig, "awq" | "bosTokenId" | "eosTokenIds"> {
  const architecture = parseArchitecture(config);
  const mistral = architecture === "MistralForCausalLM";
  const activation = config.string("hidden_act", "silu");
  if (activation !== "silu") throw unsupported("hidden_act", "activation", '"silu"', quote(activation));
  checkLayerTypes(config);

  const hiddenSize = config.count("hidden_size");
  const numAttentionHeads = config.count("num_attention_heads");
  const numKeyValueHeads = parseKeyValueHeads(config, mistral, numAttentionHeads);
  if (!config.has("head_dim") && hiddenSize % numAttentionHeads !== 0)
    throw new GureumError("range", {
      where: "hidden_size",
      what: "no multiple of num_attention_heads, and no head_dim",
      expected: `a multiple of ${numAttentionHeads}`,
      got: `${hiddenSize}`,
    });
  const headDim = config.count("head_dim", hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0)
    throw new GureumError("range", { where: "head_dim", what: "rotary embedding", expected: "an even number", got: `${headDim}` });
  if (headDim * numAttentionHeads > 2 ** 24)
    throw new GureumError("range", {
      where: "head_dim",
      what: "num_attention_heads × head_dim",
      expected: "at most 16777216",
      got: `${headDim * numAttentionHeads}`,
    });
  const maxPositionEmbeddings = config.count("max_position_embeddings", mistral ? 131072 : 2048, maxContext);

  return {
    architecture,
    vocabSize: config.count("vocab_size"),
    hiddenSize,
    intermediateSize: config.count("intermediate_size"),
    numHiddenLayers: config.count("num_hidden_layers", undefined, maxLayers),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    rmsNormEps: config.positive("rms_norm_eps", 1e-6),
    ...parseRope(config, { maxPositionEmbeddings, headDim }),
    maxPositionEmbeddings,
    slidingWindow: parseSlidingWindow(config, architecture),
    attentionBias: config.boolean("attention_bias", false),
    mlpBias: config.boolean("mlp_bias", false),
    tieWordEmbeddings: config.boolean("tie_word_embeddings", false),
  };
}

/** Absent: 8 for Mistral (its class default), else as many as there are heads; null: as many as there are heads. */
function parseKeyValueHeads(config: Fields, mistral: boolean, heads: number): number {
  const absent = mistral && !config.values.has("num_key_value_heads") ? 8 : heads;
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

/** A small file whole; null where the folder has none. */
export async function readSmallFile(
  store: ByteStore,
  names: readonly string[],
  fileName: string,
  maxBytes: number,
): Promise<Uint8Array | null> {
  if (!names.includes(fileName)) return null;
  const source = await store.open(fileName);
  try {
    if (source.byteLength > maxBytes)
      throw new GureumError("format", {
        where: source.name,
        what: "file too long",
        expected: `at most ${maxBytes} bytes`,
        got: `${source.byteLength}`,
      });
    return await readBytes(source, 0, source.byteLength);
  } finally {
    await source.close();
  }
}

/**
 * The config of a model folder.
 * @throws GureumError as `parseConfig`, "not-found" without config.json, or what the store throws; the place begins with the folder.
 */
export async function readConfig(store: ByteStore): Promise<LlamaConfig> {
  const names = await store.list();
  const config = await readSmallFile(store, names, configFile, maxConfigBytes);
  if (!config) throw new GureumError("not-found", { where: store.name, what: `no ${configFile}`, remedy: "give the folder of a model" });
  const quantConfig = await readSmallFile(store, names, quantConfigFile, maxConfigBytes);
  const generationConfig = await readSmallFile(store, names, generationConfigFile, maxConfigBytes);
  return withinAsync(store.name, async () =>
    parseConfig(config, { ...(quantConfig ? { quantConfig } : {}), ...(generationConfig ? { generationConfig } : {}) }),
  );
}

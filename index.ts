/**
 * gureum's front door: a folder with a Llama-shaped checkpoint, int4 or dense, becomes a model that answers, on the CPU
 * reference or on WebGPU. Every part behind it is importable alone: `gureum/core/ops/*`, `gureum/tokenizer`,
 * `gureum/gpu/*`.
 */
import { type LoadOptions, makeModel } from "./backend.ts";
import { type Chat, openChatOf } from "./chat.ts";
import { type ByteStore, readBytes } from "./core/checkpoint/byte-source.ts";
import { generationConfigFile } from "./core/checkpoint/config.ts";
import { type Folder, maxSmallBytes, openFolder } from "./core/checkpoint/folder.ts";
import { type F32Linear, type F32Tensor, readEmbeddingsF32, readLinearF32, readTensorF32 } from "./core/checkpoint/readers.ts";
import { parseSamplingConfig } from "./core/checkpoint/sampling-config.ts";
import { openTensors as openShards } from "./core/checkpoint/shards.ts";
import { type Checkpoint, openCheckpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import { embeddedModelPath } from "./core/host/embedded.ts";
import { directoryStore, fileSource } from "./core/host/node.ts";
import type { SamplingOptions } from "./core/model/engine.ts";
import { type LoadedModel, loadedModel } from "./loaded-model.ts";
import { openTensorsOf, type TensorReader } from "./tensors.ts";
import { loadTokenizer, parseTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";

export type { GpuStats, LoadOptions } from "./backend.ts";
export { type Chat, type ChatMessage, type ChatOptions, type ChatTemplate, checkMessages } from "./chat.ts";
export type { ByteSource, ByteStore } from "./core/checkpoint/byte-source.ts";
export type { F32Linear, F32Tensor } from "./core/checkpoint/readers.ts";
export type { LlamaConfig, Quantization, Quantization as AwqConfig, RopeScaling } from "./core/config.ts";
export { type ErrorCode, type ErrorParts, GureumError } from "./core/errors.ts";
export type { EmbedOptions } from "./core/eval/embed.ts";
export type { Comparison, EvaluatedText, PerplexityResult } from "./core/eval/perplexity.ts";
export type { Mean } from "./core/eval/statistics.ts";
export type { LogitsProcessor } from "./core/generate/choose.ts";
export type { DraftModel } from "./core/generate/draft.ts";
export type { AbortLike, FinishReason, GenerateResult, TokenEvent } from "./core/generate/generate.ts";
export type { Speculation, SpeculationCounts } from "./core/generate/speculate.ts";
export type {
  DecodedBatch,
  ForwardOptions,
  ForwardResult,
  Model,
  Sampler,
  SamplingOptions,
  Session,
  TapHook,
  TraceValue,
} from "./core/model/engine.ts";
export type { VariantOptions } from "./gpu/programs/plan.ts";
export { inspectModel, type ModelReport } from "./inspect.ts";
export type { AnyInput, Conversation, GenerateInput, GenerateOptions, LoadedModel, ScoreOptions } from "./loaded-model.ts";
export type { TensorReader, TensorValues } from "./tensors.ts";
export type { RenderOptions } from "./tokenizer/chat-template.ts";
export type { AddedToken, DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer/tokenizer.ts";

/** Where a model comes from: a folder's path, or any storage. */
export type ModelPlace = string | ByteStore;

/** The folder of the small model that comes with gureum. */
export const embeddedModel = (): string => embeddedModelPath();

const storeOf = (place: ModelPlace): ByteStore => (typeof place === "string" ? directoryStore(place) : place);

/** The tokenizer of a model folder, or of one tokenizer.model or tokenizer.json. @throws GureumError */
export async function openTokenizer(place: ModelPlace): Promise<Tokenizer> {
  if (typeof place !== "string" || !/\.(model|json)$/.test(place)) return loadTokenizer(storeOf(place));
  const source = await fileSource(place);
  try {
    return parseTokenizer(await readBytes(source, 0, source.byteLength), place);
  } finally {
    await source.close();
  }
}

/** Tokenizer and chat templates of a model folder. @throws GureumError */
export const openChat = (place: ModelPlace): Promise<Chat> => openChatOf(storeOf(place));

/** The tensors of a model folder, to be read by name. @throws GureumError "not-found", "format", "io" */
export const openTensors = (place: ModelPlace): Promise<TensorReader> => openTensorsOf(storeOf(place));

/**
 * One tensor of a model folder by its name in the files, as f32 (exact, F64 apart, which is rounded).
 * @throws GureumError "not-found", "format", "io", "missing-tensor", "range" for an integer that f32 does not hold, "unsupported"
 */
export async function readTensor(place: ModelPlace, name: string): Promise<F32Tensor> {
  const table = await openShards(storeOf(place));
  try {
    return await readTensorF32(table, name);
  } finally {
    await table.close();
  }
}

/**
 * One linear of a model, W [N, K] as f32, multiplied out where it is int4, whatever its layout: "model.layers.0.self_attn.q_proj", "lm_head".
 * @throws GureumError as `loadModel` before the weights; "missing-tensor" for a name that is no linear's
 */
export const readLinear = (place: ModelPlace, name: string): Promise<F32Linear> =>
  withCheckpoint(place, ({ config, refs }) => readLinearF32(config, refs, name));

/**
 * Rows of a model's embedding table, [ids, D] as f32: what each id enters the model as, alone. What the model makes of a text is
 * `LoadedModel.embed`.
 * @throws GureumError as `loadModel` before the weights; "range" for an id outside the vocabulary
 */
export const readEmbeddings = (place: ModelPlace, ids: ArrayLike<number>): Promise<F32Tensor> =>
  withCheckpoint(place, ({ refs }) => readEmbeddingsF32(refs, ids));

async function withCheckpoint<T>(place: ModelPlace, body: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(await openFolder(storeOf(place)));
  try {
    return await body(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** The folder's tokenizer and templates, or why they cannot be read: then the model takes ids only. */
async function openChatIfAny(folder: Folder): Promise<Chat | GureumError> {
  if (!folder.names.has("tokenizer.json") && !folder.names.has("tokenizer.model"))
    return new GureumError("not-found", {
      where: "tokenizer",
      what: "the model folder has none",
      remedy: "give ids, or put tokenizer.model or tokenizer.json beside the weights",
    });
  try {
    return await openChatOf(folder);
  } catch (error) {
    if (error instanceof GureumError) return error;
    throw error;
  }
}

/** What generation_config.json says about sampling; a broken one is told of where its ids are read. */
async function samplingOf(folder: Folder): Promise<{ defaults: Partial<SamplingOptions>; notes: string[] }> {
  try {
    const bytes = await folder.read(generationConfigFile, maxSmallBytes);
    if (!bytes) return { defaults: {}, notes: [] };
    const { defaults, ignored } = parseSamplingConfig(bytes);
    return { defaults, notes: ignored.length > 0 ? [`${generationConfigFile}: not honoured: ${ignored.join(", ")}`] : [] };
  } catch (error) {
    if (error instanceof GureumError) return { defaults: {}, notes: [] };
    throw error;
  }
}

/**
 * Loads a model: reads config, tokenizer and template, checks every tensor's header against the config, then reads the
 * weights. A tokenizer or template that is missing or not supported does not stop it: what needs them throws then.
 * @throws GureumError "not-found", "format", "unsupported", "missing-tensor", "shape", "dtype", "non-finite", "io";
 * with WebGPU also "no-adapter", "missing-feature", "limit", "out-of-memory", "device-lost", "pipeline"
 */
export async function loadModel(place: ModelPlace, options: LoadOptions = {}): Promise<LoadedModel> {
  const started = performance.now();
  const folder = await openFolder(storeOf(place));
  const checkpoint = await openCheckpoint(folder);
  try {
    const chat = await openChatIfAny(folder);
    const { needs = "ids" } = options;
    if (needs !== "ids" && chat instanceof GureumError) throw chat;
    if (needs === "messages" && !(chat instanceof GureumError)) chat.checkTemplate();
    const made = await makeModel(checkpoint.config, checkpoint.refs, options);
    const noText = chat instanceof GureumError && chat.code !== "not-found" ? [`${chat.message} (the model takes ids only)`] : [];
    const sampling = await samplingOf(folder);
    const notes = [...checkpoint.notes(), ...noText, ...sampling.notes];
    return loadedModel(made, chat, performance.now() - started, notes, sampling.defaults);
  } finally {
    await checkpoint.close();
  }
}

/**
 * gureum's front door: a folder with a Llama-shaped checkpoint, int4 or dense, becomes a model that answers, on the CPU
 * reference or on WebGPU. Every part behind it is importable alone: `gureum/core/ops/*`, `gureum/tokenizer`,
 * `gureum/gpu/*`.
 */
import { host } from "#host";
import { type BackendOptions, backendOptionNames, makeModel } from "./backend.ts";
import { type Chat, openChatOf } from "./chat.ts";
import { checkCallback, checkIdList, checkOptionsObject, checkText, listening, type OptionNames, wrongType } from "./core/arguments.ts";
import { generationConfigFile } from "./core/checkpoint/config.ts";
import { type Folder, maxSmallBytes, openFolder, readSmall } from "./core/checkpoint/folder.ts";
import { type F32Linear, type F32Tensor, readEmbeddingsF32, readLinearF32, readTensorF32 } from "./core/checkpoint/readers.ts";
import { parseSamplingConfig } from "./core/checkpoint/sampling-config.ts";
import { openTensors as openShards } from "./core/checkpoint/shards.ts";
import { type Checkpoint, openCheckpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import type { SamplingOptions } from "./core/model/engine.ts";
import { type LoadedModel, loadedModel } from "./loaded-model.ts";
import { type ModelPlace, storeOf, viewOf } from "./place.ts";
import { type ModelPrompts, modelPrompts } from "./prompts.ts";
import { openTensorsOf, type TensorReader } from "./tensors.ts";
import { loadTokenizer, parseTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";

export { quantize } from "#quantize";
export type { BackendOptions, GpuStats } from "./backend.ts";
export type { CalibrationItem } from "./calibration.ts";
export { type Chat, type ChatMessage, type ChatOptions, type ChatTemplate, checkMessages } from "./chat.ts";
export { type ConvertOptions, convert } from "./convert.ts";
export type { ByteSource, ByteStore, DownloadProgress } from "./core/checkpoint/byte-source.ts";
export type { Rounding } from "./core/checkpoint/convert.ts";
export { type Converted, type ConvertOptions as CoreConvertOptions, type Format, formats } from "./core/checkpoint/convert-model.ts";
export type { InspectReport, MemoryNeed, Problem } from "./core/checkpoint/inspect.ts";
export type { F32Linear, F32Tensor } from "./core/checkpoint/readers.ts";
export type { LlamaConfig, Quantization, Quantization as AwqConfig, RopeScaling } from "./core/config.ts";
export { type DType, dtypeBits, type FloatDType } from "./core/dtype.ts";
export { type ErrorCode, type ErrorParts, GureumError } from "./core/errors.ts";
export type { EmbedOptions } from "./core/eval/embed.ts";
export type { Comparison, EvaluatedText, PerplexityResult } from "./core/eval/perplexity.ts";
export type { Mean } from "./core/eval/statistics.ts";
export type { AnswerOptions } from "./core/generate/answer.ts";
export type { LogitsProcessor } from "./core/generate/choose.ts";
export type { DraftModel } from "./core/generate/draft.ts";
export type {
  AbortLike,
  FinishReason,
  GenerateOptions as LoopOptions,
  GenerateResult,
  StreamDecoder,
  TokenEvent,
} from "./core/generate/generate.ts";
export type { AllOptions, Outcome } from "./core/generate/generate-all.ts";
export type { Speculation, SpeculationCounts } from "./core/generate/speculate.ts";
export type { BlobLike } from "./core/host/blobs.ts";
export {
  type DirectoryEntryLike,
  type DirectoryHandleLike,
  type EntryLike,
  type FileLike,
  fileStore,
  type GivenFolder,
} from "./core/host/file-store.ts";
export {
  deleteKept,
  type KeepOptions,
  type KeptFile,
  type KeptModel,
  keepModel,
  listKept,
  openKept,
  verifyKept,
} from "./core/host/kept.ts";
export { type UrlOptions, urlStore } from "./core/host/url-store.ts";
export type { Patience } from "./core/host/web-ask.ts";
export type {
  Batch,
  Choose,
  DecodedBatch,
  ForwardOptions,
  ForwardResult,
  Model,
  Sampler,
  SamplingOptions,
  Session,
  SlotTokens,
  SlotWork,
  TapHook,
  Token,
  TraceValue,
} from "./core/model/engine.ts";
export type { LinearName } from "./core/model/layer.ts";
export type { CacheArrays, CpuOps, Grouped, SearchOps } from "./core/model/ops.ts";
export type { AttentionShape } from "./core/ops/attention.ts";
export type { LayerDone } from "./core/quant/quantize-layers.ts";
export type { QuantizeReport } from "./core/quant/quantize-model.ts";
export type { Factor } from "./core/quant/search/compensate.ts";
export type { Rounded } from "./core/quant/search/descend.ts";
export type { Gram } from "./core/quant/search/gram.ts";
export type { Grids, Ranges } from "./core/quant/search/grid.ts";
export type { LinearLoss } from "./core/quant/search/quantize-layer.ts";
export type { WeightMatrix } from "./core/quant/search/scale-search.ts";
export type { MethodName, ScaleGroup, Settings as QuantizeSettings, Stages as QuantizeStages } from "./core/quant/search/stages.ts";
export type { Written } from "./core/quant/train/own-text.ts";
export type { StepDone } from "./core/quant/train/whole.ts";
export type { AwqMatrix, DenseMatrix, Linear, Matrix } from "./core/tensor.ts";
export type { Profile } from "./gpu/device/profile.ts";
export type { VariantOptions } from "./gpu/programs/plan.ts";
export type { CacheDType } from "./gpu/wgsl/cache.ts";
export type { HubOptions } from "./hub/model.ts";
export type { Environment } from "./hub/settings.ts";
export { inspectModel, type ModelReport, type Use } from "./inspect.ts";
export type { Conversation, GenerateAllOptions, InputWithOptions, LoadedModel, ScoreOptions } from "./loaded-model.ts";
export { type FindOptions, findModel, type ModelPlace, openModelStore } from "./place.ts";
export type { AnyInput, GenerateInput, GenerateOptions, ModelPrompts } from "./prompts.ts";
export type { QuantizeOptions } from "./quantize.ts";
export type { TensorArray, TensorReader, TensorValues } from "./tensors.ts";
export type { RenderOptions } from "./tokenizer/chat-template.ts";
export { PythonFloat, parseTemplateJson } from "./tokenizer/template-json.ts";
export type { AddedToken, DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer/tokenizer.ts";

/** The place of the small model that comes with gureum: the path of its folder; in a browser "gureum:embedded". */
export const embeddedModel = (): string => host.models.embedded();

/** The tokenizer of a model folder, or of one tokenizer.model or tokenizer.json. @throws GureumError, "format" for a file beyond 100 MB */
export async function openTokenizer(place: ModelPlace): Promise<Tokenizer> {
  if (typeof place !== "string" || !/\.(model|json)$/.test(place)) return loadTokenizer(await storeOf(place, { part: "text" }));
  const source = await host.files.fileSource(place);
  try {
    return parseTokenizer(await readSmall(source, place), place);
  } finally {
    await source.close();
  }
}

/** Tokenizer and chat templates of a model folder. @throws GureumError */
export const openChat = async (place: ModelPlace): Promise<Chat> => openChatOf(await storeOf(place, { part: "text" }));

/** The tensors of a model folder, to be read by name. @throws GureumError "not-found", "format", "io" */
export const openTensors = async (place: ModelPlace): Promise<TensorReader> => openTensorsOf(await storeOf(place));

/**
 * One tensor of a model folder by its name in the files, as f32 (exact, F64 apart, which is rounded).
 * @throws GureumError "not-found", "format", "io", "missing-tensor", "range" for an integer that f32 does not hold, "unsupported"
 */
export async function readTensor(place: ModelPlace, name: string): Promise<F32Tensor> {
  checkText("readTensor", "name", name);
  const table = await openShards(await viewOf(place));
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
export async function readLinear(place: ModelPlace, name: string): Promise<F32Linear> {
  checkText("readLinear", "name", name);
  return withCheckpoint(place, ({ config, refs }) => readLinearF32(config, refs, name));
}

/**
 * Rows of a model's embedding table, [ids, D] as f32: what each id enters the model as, alone. What the model makes of a text is
 * `LoadedModel.embed`.
 * @throws GureumError as `loadModel` before the weights; "range" for an id outside the vocabulary
 */
export async function readEmbeddings(place: ModelPlace, ids: ArrayLike<number>): Promise<F32Tensor> {
  checkIdList("readEmbeddings", "ids", ids);
  return withCheckpoint(place, ({ refs }) => readEmbeddingsF32(refs, ids));
}

async function withCheckpoint<T>(place: ModelPlace, body: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(await openFolder(await viewOf(place)));
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

/** Where a model is looked for, and how it computes. */
export interface LoadOptions extends BackendOptions {
  /**
   * What the model will be fed: a tokenizer, or a chat template as well, that cannot be read is then an error before
   * any weight is read. "ids", the default: it is an error where it is needed.
   */
  readonly needs?: "ids" | "text" | "messages";
  /** Called before any weight is read, to check prompts and options; what it throws ends the loading. */
  readonly before?: (prompts: ModelPrompts) => void | Promise<void>;
}

const loadOptionNames: OptionNames<LoadOptions> = { ...backendOptionNames, needs: true, before: true };

/**
 * Loads a model, downloading what the cache lacks of one by name: reads config, tokenizer and template, checks every tensor's header against the config, then reads the
 * weights. A tokenizer or template that is missing or not supported does not stop it: what needs them throws then.
 * @throws GureumError "not-found", "format", "unsupported", "missing-tensor", "shape", "dtype", "non-finite", "io"; with a name also
 * "network", "access", "disk-full";
 * with WebGPU also "no-adapter", "missing-feature", "limit", "out-of-memory", "device-lost", "pipeline"
 */
export async function loadModel(place: ModelPlace, options: LoadOptions = {}): Promise<LoadedModel> {
  checkOptionsObject("load", options, loadOptionNames);
  return listening(
    options,
    ["onProgress", "onDownload"],
    (heard) => load(place, heard),
    (model) => model.dispose(),
  );
}

async function load(place: ModelPlace, options: LoadOptions): Promise<LoadedModel> {
  const { needs = "ids", before, onDownload, ...backend } = options;
  if (needs !== "ids" && needs !== "text" && needs !== "messages") throw wrongType("load", "needs", '"ids", "text" or "messages"', needs);
  checkCallback("load", "before", before);
  checkCallback("load", "onDownload", onDownload);
  const started = performance.now();
  const told: string[] = [];
  const folder = await openFolder(await storeOf(place, { onNote: (text) => told.push(text), ...(onDownload ? { onDownload } : {}) }));
  const checkpoint = await openCheckpoint(folder);
  try {
    const chat = await openChatIfAny(folder);
    if (needs !== "ids" && chat instanceof GureumError) throw chat;
    if (needs === "messages" && !(chat instanceof GureumError)) chat.checkTemplate();
    const noText = chat instanceof GureumError && chat.code !== "not-found" ? [`${chat.message} (the model takes ids only)`] : [];
    const sampling = await samplingOf(folder);
    const prompts = modelPrompts(checkpoint.config, chat, sampling.defaults);
    await before?.(prompts);
    const made = await makeModel(checkpoint.config, checkpoint.refs, backend);
    const notes = [...told, ...checkpoint.notes(), ...noText, ...sampling.notes];
    return loadedModel(made, prompts, performance.now() - started, notes);
  } finally {
    await checkpoint.close();
  }
}

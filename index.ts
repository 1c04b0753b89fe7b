/**
 * gureum's front door: a folder with an AWQ (or dense) Llama checkpoint becomes a model that answers, on the CPU reference or on
 * WebGPU. Every part behind it is importable alone: `gureum/core/ops/*`, `gureum/tokenizer`, `gureum/gpu/*`.
 */
import { type Chat, type ChatMessage, type ChatOptions, openChatOf } from "./chat.ts";
import { type ByteStore, readBytes } from "./core/checkpoint/byte-source.ts";
import { openCheckpoint, readWeights } from "./core/checkpoint/weights.ts";
import type { LlamaConfig } from "./core/config.ts";
import { GureumError } from "./core/errors.ts";
import { exactCpuModel } from "./core/exact/model.ts";
import {
  contextLimit,
  type GenerateResult,
  generate,
  type GenerateOptions as LoopOptions,
  type TokenEvent,
} from "./core/generate/generate.ts";
import { embeddedModelPath } from "./core/host/embedded.ts";
import { directoryStore, fileSource } from "./core/host/node.ts";
import { cpuModel } from "./core/model/cpu.ts";
import type { ForwardOptions, ForwardResult, Model, Sampler, SamplingOptions, Session } from "./core/model/engine.ts";
import type { LlamaWeightRefs } from "./core/model/weights.ts";
import { floatSampler, greedy } from "./core/sample/sampler.ts";
import { adoptDevice, closeDevice, type Gpu, openDevice } from "./gpu/device/device.ts";
import { makeProfiler, type Profile } from "./gpu/device/profile.ts";
import { loadGpuModel } from "./gpu/model/model.ts";
import { checkKernels, type VariantOptions } from "./gpu/programs/plan.ts";
import { loadTokenizer, parseTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";

export { type Chat, type ChatMessage, type ChatOptions, type ChatTemplate, checkMessages } from "./chat.ts";
export type { ByteSource, ByteStore } from "./core/checkpoint/byte-source.ts";
export { GureumError } from "./core/errors.ts";
export type { ForwardOptions, ForwardResult, SamplingOptions, Session, TapHook, TraceValue } from "./core/model/engine.ts";
export type { GenerateResult, LlamaConfig, Model, TokenEvent, Tokenizer, VariantOptions };

/** Where a model comes from: a folder's path, or any storage. */
export type ModelPlace = string | ByteStore;

/** `arithmetic`, `cache` and `kernels` choose among WebGPU's variants: where one is given, "auto" means "webgpu". */
export interface LoadOptions extends VariantOptions {
  /** "auto", the default: WebGPU where a hardware adapter answers, the CPU reference otherwise. */
  readonly backend?: "auto" | "cpu" | "webgpu";
  /** Time and count the GPU's work, for `takeStats`. */
  readonly stats?: boolean;
  /** A device of the caller's for "webgpu" or "auto"; it stays the caller's to destroy. */
  readonly device?: GPUDevice;
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/** GPU work: milliseconds to encode and submit it and, where the device has timestamps, to run it; dispatches, passes, submissions. */
export type GpuStats = Omit<Profile, "kernels">;

/** What to continue: a conversation, a text, or ids. */
export type GenerateInput =
  | ({ readonly messages: readonly ChatMessage[] } & ChatOptions)
  /**
   * `specialTokens: "recognise"`: special tokens spelt in the text are read as such, as in a rendered template; by default they are
   * plain text. `addBos`: as the tokenizer's files say where it is not given; a text whose own first token is BOS gets no second.
   */
  | { readonly text: string; readonly specialTokens?: "text" | "recognise"; readonly addBos?: boolean }
  | { readonly ids: ArrayLike<number> };

/** All optional: greedy, 256 tokens, the model's own end-of-text ids. */
export interface GenerateOptions
  extends Partial<SamplingOptions>,
    Partial<Pick<LoopOptions, "maxNewTokens" | "stop" | "topLogprobs" | "signal" | "onPrefill">> {}

export interface LoadedModel {
  readonly config: LlamaConfig;
  /** null where the folder has none: such a model takes ids only. */
  readonly tokenizer: Tokenizer | null;
  readonly backend: "cpu" | "webgpu";
  /** Why this backend, in a few words. */
  readonly backendReason: string;
  /** How this model's logits become ids and probabilities. */
  readonly sampler: Sampler;
  readonly loadMs: number;
  /** The ids that `generate` would feed for this input. */
  encodePrompt(input: GenerateInput): number[];
  /** One pass over `ids` from an empty cache. */
  forward(ids: ArrayLike<number>, options?: ForwardOptions): Promise<ForwardResult>;
  /** Continues the input token by token; the generator's return value sums up. */
  generate(input: GenerateInput, options?: GenerateOptions): AsyncGenerator<TokenEvent, GenerateResult, undefined>;
  /** A sequence to feed and sample by hand; `maxContext` defaults to the model's limit. */
  createSession(maxContext?: number): Session;
  /** What the GPU did since the last call; null on the CPU, or where `stats` was not asked for. @throws GureumError "device-lost" */
  takeStats(): Promise<GpuStats | null>;
  dispose(): void;
}

/** The folder of the small model that comes with gureum. */
export const embeddedModel = (): string => embeddedModelPath();

/** The decoder of a model without a tokenizer. */
const noText = { push: () => "", flush: () => "" };

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

/** The same for a folder that may have neither: undefined without a tokenizer. */
async function openChatIfAny(store: ByteStore): Promise<Chat | undefined> {
  const names = await store.list();
  return names.includes("tokenizer.json") || names.includes("tokenizer.model") ? openChatOf(store) : undefined;
}

/**
 * Loads a model: reads config, tokenizer and template, checks every tensor's header against the config, then reads the weights.
 * @throws GureumError "not-found", "format", "unsupported", "missing-tensor", "shape", "dtype", "non-finite", "io"; with WebGPU also
 * "no-adapter", "missing-feature", "limit", "out-of-memory", "device-lost", "pipeline"
 */
export async function loadModel(place: ModelPlace, options: LoadOptions = {}): Promise<LoadedModel> {
  const started = performance.now();
  const store = storeOf(place);
  const checkpoint = await openCheckpoint(store);
  try {
    const chat = await openChatIfAny(store);
    const made = await makeModel(checkpoint.config, checkpoint.refs, options);
    return loadedModel(made, chat, performance.now() - started);
  } finally {
    await checkpoint.close();
  }
}

/** A model, why it is on this backend, and its counters. */
interface Made {
  readonly model: Model;
  readonly reason: string;
  readonly takeStats: () => Promise<GpuStats | null>;
}

/** The backend that the options ask for, and why it was taken. */
async function makeModel(
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  { backend: wanted = "auto", onProgress, device, stats = false, ...variants }: LoadOptions,
): Promise<Made> {
  const { arithmetic = "auto", cache, kernels = {} } = variants;
  const cpu = async (reason: string): Promise<Made> => ({
    model: (arithmetic === "exact" ? exactCpuModel : cpuModel)(config, await readWeights(refs, onProgress)),
    reason,
    takeStats: async () => null,
  });
  checkKernels(kernels);
  // `exact` is the same everywhere: it chooses no backend.
  const choosesVariant = (arithmetic !== "auto" && arithmetic !== "exact") || cache !== undefined || Object.keys(kernels).length > 0;
  const backend = wanted === "auto" && choosesVariant ? "webgpu" : wanted;
  if (backend === "cpu" && choosesVariant)
    throw new GureumError("usage", {
      where: "cpu",
      what: "arithmetic (but exact), cache and kernels choose among variants of the WebGPU backend; the CPU reference has one of each",
      remedy: "leave them out, or use WebGPU",
    });
  if (backend === "cpu") return cpu("asked for");
  let gpu: Gpu;
  try {
    gpu = device ? adoptDevice(device) : await openDevice({ robustness: false });
  } catch (error) {
    if (backend === "auto" && error instanceof GureumError) return cpu(`no WebGPU: ${error.details.what}`);
    throw error;
  }
  const { software, vendor, description } = gpu.capabilities;
  const name = description || vendor;
  if (backend === "auto" && software && !device) {
    closeDevice(gpu);
    return cpu(`the only WebGPU adapter is software: ${name}`);
  }
  try {
    const profiler = stats ? makeProfiler(gpu, () => performance.now()) : undefined;
    const model = await loadGpuModel(profiler?.gpu ?? gpu, config, refs, { ...variants, ...(onProgress ? { onProgress } : {}) });
    await profiler?.take();
    profiler?.watch("passes");
    const takeStats = async (): Promise<GpuStats | null> => {
      if (!profiler) return null;
      const { kernels: _, ...counted } = await profiler.take();
      return counted;
    };
    const dispose = (): void => {
      model.dispose();
      profiler?.close();
      if (!device) closeDevice(gpu);
    };
    return { model: { ...model, dispose }, reason: name, takeStats };
  } catch (error) {
    if (!device) closeDevice(gpu);
    throw error;
  }
}

function loadedModel({ model, reason, takeStats }: Made, chat: Chat | undefined, loadMs: number): LoadedModel {
  const { config } = model;
  const tokenizer = chat?.tokenizer ?? null;
  const limit = contextLimit(config);
  const encodePrompt = (input: GenerateInput): number[] => {
    if ("ids" in input) return Array.from(input.ids);
    if (!chat || !tokenizer)
      throw new GureumError("not-found", {
        where: "tokenizer",
        what: "the model folder has none",
        remedy: "give ids, or put tokenizer.model or tokenizer.json beside the weights",
      });
    if ("messages" in input) {
      const { messages, ...options } = input;
      return chat.encode(messages, options);
    }
    const { text, specialTokens = "text", addBos } = input;
    const ids = tokenizer.encode(text, { specialTokens });
    const bos = tokenizer.bosId;
    return (addBos ?? (tokenizer.addBos && ids[0] !== bos)) ? tokenizer.encode(text, { specialTokens, addBos: true }) : ids;
  };
  return {
    config,
    tokenizer,
    backend: model.backend,
    backendReason: reason,
    sampler: model.sampler ?? floatSampler,
    loadMs,
    encodePrompt,
    async forward(ids, options) {
      const session = model.createSession(Math.min(limit, Math.max(1, ids.length)));
      try {
        return await session.forward(ids, options);
      } finally {
        session.dispose();
      }
    },
    async *generate(input, options = {}) {
      const prompt = encodePrompt(input);
      const { maxNewTokens = 256, stop = [], topLogprobs = 0, signal, onPrefill, ...sampling } = options;
      const session = model.createSession(Math.min(limit, prompt.length + maxNewTokens));
      try {
        return yield* generate(session, prompt, {
          sampling: { ...greedy, ...sampling },
          maxNewTokens,
          stop,
          topLogprobs,
          stopIds: new Set(config.eosTokenIds),
          // An answer begins afresh; a continuation keeps the space between it and the prompt.
          decoder: tokenizer?.streamingDecoder("messages" in input ? [] : prompt) ?? noText,
          ...(signal ? { signal } : {}),
          ...(onPrefill ? { onPrefill } : {}),
        });
      } finally {
        session.dispose();
      }
    },
    createSession: (maxContext = limit) => model.createSession(Math.min(limit, maxContext)),
    takeStats,
    dispose: () => model.dispose(),
  };
}

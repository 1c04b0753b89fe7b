/** A model with its tokenizer, as `loadModel` hands it out. */
import type { GpuStats, Made } from "./backend.ts";
import type { Chat, ChatMessage, ChatOptions } from "./chat.ts";
import type { LlamaConfig } from "./core/config.ts";
import { GureumError } from "./core/errors.ts";
import {
  contextLimit,
  type GenerateResult,
  generate,
  type GenerateOptions as LoopOptions,
  type TokenEvent,
} from "./core/generate/generate.ts";
import type { ForwardOptions, ForwardResult, Sampler, SamplingOptions, Session } from "./core/model/engine.ts";
import { floatSampler, greedy } from "./core/sample/sampler.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** What to continue: a conversation, a text, or ids. */
export type GenerateInput =
  | ({ readonly messages: readonly ChatMessage[] } & ChatOptions)
  /**
   * `specialTokens: "recognise"`: special tokens spelt in the text are read as such, as in a rendered template; by
   * default they are plain text. `addBos`: as the tokenizer's files say where it is not given; a text whose own first
   * token is BOS gets no second.
   */
  | { readonly text: string; readonly specialTokens?: "text" | "recognise"; readonly addBos?: boolean }
  | { readonly ids: ArrayLike<number> };

/** All optional: greedy, 256 tokens, the model's own end-of-text ids. */
export interface GenerateOptions
  extends Partial<SamplingOptions>,
    Partial<Pick<LoopOptions, "maxNewTokens" | "stop" | "topLogprobs" | "signal" | "onPrefill">> {}

export interface LoadedModel {
  readonly config: LlamaConfig;
  /** null where the folder has none that can be read: such a model takes ids only. */
  readonly tokenizer: Tokenizer | null;
  readonly backend: "cpu" | "webgpu";
  /** Why this backend, in a few words. */
  readonly backendReason: string;
  /** How this model's logits become ids and probabilities. */
  readonly sampler: Sampler;
  readonly loadMs: number;
  /** What was odd about the files and stopped nothing, a sentence each. */
  readonly notes: readonly string[];
  /**
   * The ids that `generate` would feed for this input.
   * @throws GureumError, also why the folder's tokenizer cannot be read
   */
  encodePrompt(input: GenerateInput): number[];
  /** One pass over `ids` from an empty cache. */
  forward(ids: ArrayLike<number>, options?: ForwardOptions): Promise<ForwardResult>;
  /** Continues the input token by token; the generator's return value sums up. */
  generate(input: GenerateInput, options?: GenerateOptions): AsyncGenerator<TokenEvent, GenerateResult, undefined>;
  /** A sequence to feed and sample by hand; `maxContext` defaults to 8192, and is at most the model's limit. */
  createSession(maxContext?: number): Session;
  /**
   * What the GPU did since the last call; null on the CPU, or where `stats` was not asked for.
   * @throws GureumError "device-lost"
   */
  takeStats(): Promise<GpuStats | null>;
  dispose(): void;
}

/** Positions of a session whose length nobody gave: caches may be made for all of them at once. */
const DEFAULT_CONTEXT = 8192;

/** The decoder of a model without a tokenizer. */
const noText = { push: () => "", flush: () => "" };

/** @param chat why there is none, where the folder's tokenizer cannot be read */
export function loadedModel(
  { model, reason, takeStats }: Made,
  chat: Chat | GureumError,
  loadMs: number,
  notes: readonly string[],
): LoadedModel {
  const { config } = model;
  const tokenizer = chat instanceof GureumError ? null : chat.tokenizer;
  const limit = contextLimit(config);
  const encodePrompt = (input: GenerateInput): number[] => {
    if ("ids" in input) return Array.from(input.ids);
    if (chat instanceof GureumError) throw chat;
    if ("messages" in input) {
      const { messages, ...options } = input;
      return chat.encode(messages, options);
    }
    const { text, specialTokens = "text", addBos } = input;
    const { tokenizer } = chat;
    const ids = tokenizer.encode(text, { specialTokens });
    const bos = tokenizer.bosId;
    return (addBos ?? (tokenizer.addBos && ids[0] !== bos)) ? tokenizer.encode(text, { specialTokens, addBos: true }) : ids;
  };
  return {
    config,
    tokenizer,
    notes,
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
    createSession: (maxContext = DEFAULT_CONTEXT) => model.createSession(Math.min(limit, maxContext)),
    takeStats,
    dispose: () => model.dispose(),
  };
}

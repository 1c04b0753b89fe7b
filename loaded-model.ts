/** A model with its tokenizer, as `loadModel` hands it out. */

import type { GpuStats, Made } from "./backend.ts";
import { checkCallback, checkIdList, checkOptionsObject, type OptionNames, wrongType } from "./core/arguments.ts";
import { GureumError } from "./core/errors.ts";
import { type EmbedOptions, embedIds } from "./core/eval/embed.ts";
import { defaultStride, defaultWindow, type EvaluatedText, type PerplexityResult, perplexity } from "./core/eval/perplexity.ts";
import { contextLimit, type GenerateResult, generate, type StreamDecoder, type TokenEvent } from "./core/generate/generate.ts";
import { type AllOptions, generateAll, type Item, type Outcome } from "./core/generate/generate-all.ts";
import type { Batch, ForwardOptions, ForwardResult, Sampler, Session } from "./core/model/engine.ts";
import { checkPositions } from "./core/model/session.ts";
import { floatSampler } from "./core/sample/sampler.ts";
import {
  type AnyInput,
  type GenerateInput,
  type GenerateOptions,
  inputOf,
  type ModelPrompts,
  type Prompts,
  withoutUndefined,
} from "./prompts.ts";

/** As core/eval/perplexity.ts; all optional. */
export interface ScoreOptions {
  /** Tokens in a window; default: the model's limit, at most 2048. */
  readonly context?: number;
  /** Tokens from one window to the next; default: half the context. */
  readonly stride?: number;
  /** A model with the same tokenizer that this one is held against, token by token. */
  readonly base?: Pick<LoadedModel, "config" | "createSession">;
  /** Called between windows: tokens scored, and in all. */
  readonly onProgress?: (done: number, total: number) => void | Promise<void>;
}

/** An input with options of its own, which come before those of all. */
export type InputWithOptions = { readonly input: AnyInput } & Omit<GenerateOptions, "session" | "speculate">;

/** Options of all inputs, and how they are run; all optional. */
export interface GenerateAllOptions extends Omit<GenerateOptions, "session" | "speculate" | "onPrefill">, Omit<AllOptions, "signal"> {}

/** A conversation's memory: each `generate` feeds only what the one before has not. */
export interface Conversation {
  /** As `LoadedModel.generate`. One at a time. */
  generate(input: GenerateInput, options?: Omit<GenerateOptions, "session">): AsyncGenerator<TokenEvent, GenerateResult, undefined>;
  /** Frees what the session holds. */
  dispose(): void;
}

/** A model with its tokenizer and template. */
export interface LoadedModel extends ModelPrompts {
  /** Where it computes. */
  readonly backend: "cpu" | "webgpu";
  /** Why this backend, in a few words. */
  readonly backendReason: string;
  /** How this model's logits become ids and probabilities. */
  readonly sampler: Sampler;
  /** From the call to ready, milliseconds. */
  readonly loadMs: number;
  /** What was odd about the files and stopped nothing, a sentence each. */
  readonly notes: readonly string[];
  /**
   * One pass over `ids` [T] from an empty cache: logits f32, [1, V] or [T, V].
   * @throws GureumError "range" for no id or one outside the vocabulary, "context" for more than the model's limit, "usage" for names of taps
   * that there are not, "non-finite" for logits that are not finite, where nothing is watched
   */
  forward(ids: ArrayLike<number>, options?: ForwardOptions): Promise<ForwardResult>;
  /**
   * How well the model predicts a text, or several taken together: exp of the mean of −ln p of each token given those before it. Every token
   * but a text's first is scored once; `from` scores from that index on.
   * @throws GureumError "range" for nothing to score, or a context or stride out of range; as `forward`
   */
  perplexity(text: AnyInput | readonly (AnyInput | EvaluatedText)[], options?: ScoreOptions): Promise<PerplexityResult>;
  /**
   * A text as one vector [D]: the model's last hidden states (after the final norm), their mean or that of the last token. Rows of the
   * embedding table, which know nothing of a text: `readEmbeddings`.
   * @throws GureumError as `encodePrompt` and `forward`
   */
  embed(text: AnyInput, options?: EmbedOptions): Promise<Float32Array>;
  /**
   * Continues the input token by token; the generator's return value sums up.
   * @throws GureumError "usage" and "range" for options, "template" for what a chat template raises, "context" where the prompt leaves no room,
   * "non-finite" for logits that are not finite; with WebGPU also "device-lost", "out-of-memory"; and why the tokenizer cannot be read
   */
  generate(input: GenerateInput, options?: GenerateOptions): AsyncGenerator<TokenEvent, GenerateResult, undefined>;
  /**
   * Continues many inputs, several at a time: where one ends, the next begins. An outcome for each, in their order; an input that fails does
   * not take the others with it. Texts are those of `generate`, bit for bit on the CPU and in exact, else but for near ties (docs/sampling.md).
   * @throws GureumError "usage" for options that are wrong for all, "limit" where so many `sequences` do not fit; what a callback throws
   */
  generateAll(inputs: readonly (AnyInput | InputWithOptions)[], options?: GenerateAllOptions): Promise<Outcome[]>;
  /**
   * Answers that build on each other. On WebGPU an answer's positions stay as decoding computed them: close to, not bit for bit, what
   * feeding it anew would give.
   */
  createConversation(): Conversation;
  /**
   * Sequences to feed and sample by hand, `slots` of them together, of `maxContext` positions each (default 8192, at most the model's limit).
   * @throws GureumError "limit" where they do not fit
   */
  createBatch(slots: number, maxContext?: number): Batch;
  /**
   * A sequence to feed and sample by hand; `maxContext` defaults to 8192, and is at most the model's limit.
   * @throws GureumError "usage" for what is no number of positions; what a GPU lacks shows at the first call
   */
  createSession(maxContext?: number): Session;
  /**
   * What the GPU did since the last call; null on the CPU, or where `stats` was not asked for.
   * @throws GureumError "device-lost"
   */
  takeStats(): Promise<GpuStats | null>;
  /** Frees the weights; nothing may be called afterwards. */
  dispose(): void;
}

/** Positions of a session whose length nobody gave: caches may be made for all of them at once. */
const DEFAULT_CONTEXT = 8192;

const scoreOptionNames: OptionNames<ScoreOptions> = { context: true, stride: true, base: true, onProgress: true };
const embedOptionNames: OptionNames<EmbedOptions> = { pooling: true, normalize: true };

/** Options of all with an input's own in their place; its `greedy` and its `temperature` each take the place of both. */
function withOwn(all: GenerateOptions, own: GenerateOptions): GenerateOptions {
  const { greedy: _greedy, temperature: _temperature, ...rest } = all;
  return { ...(own.greedy || own.temperature !== undefined ? rest : all), ...own };
}

/** The decoder of a model without a tokenizer. */
const noText = { push: () => "", flush: () => "" };

export function loadedModel(
  { model, reason, takeStats, dispose }: Made,
  prompts: Prompts,
  loadMs: number,
  notes: readonly string[],
): LoadedModel {
  const { config, tokenizer, encodePrompt, checked, samplingDefaults, check } = prompts;
  const limit = contextLimit(config);
  let disposed = false;
  const alive = (): void => {
    if (disposed) throw new GureumError("usage", { where: "model", what: "was disposed", remedy: "load it again" });
  };

  /** An answer begins afresh; a continuation keeps the space between it and the prompt. */
  const decoderFor = (input: AnyInput, prompt: readonly number[]): StreamDecoder =>
    tokenizer?.streamingDecoder(typeof input === "object" && "messages" in input ? [] : prompt) ?? noText;

  async function* run(input: GenerateInput, options: GenerateOptions): AsyncGenerator<TokenEvent, GenerateResult, undefined> {
    alive();
    const loop = checked(options);
    const prompt = encodePrompt(input);
    if (options.session !== undefined && options.session?.model !== model)
      throw new GureumError("usage", { where: "generate", what: "the session is another model's, or none" });
    const session = options.session ?? model.createSession(Math.min(limit, prompt.length + loop.maxNewTokens));
    try {
      return yield* generate(session, prompt, { ...loop, decoder: decoderFor(input, prompt) });
    } finally {
      if (!options.session) session.dispose();
    }
  }

  return {
    config,
    tokenizer,
    notes,
    backend: model.backend,
    backendReason: reason,
    sampler: model.sampler ?? floatSampler,
    loadMs,
    encodePrompt,
    check,
    samplingDefaults,
    async forward(ids, options) {
      alive();
      checkIdList("forward", "ids", ids);
      const session = model.createSession(Math.min(limit, Math.max(1, ids.length)));
      try {
        return await session.forward(ids, options);
      } finally {
        session.dispose();
      }
    },
    async perplexity(text, scoring = {}) {
      checkOptionsObject("perplexity", scoring, scoreOptionNames);
      const { context, stride, ...options } = scoring;
      checkCallback("perplexity", "onProgress", options.onProgress);
      for (const [name, value] of Object.entries({ context, stride }))
        if (value !== undefined) checkPositions("perplexity", name, value, 1);
      if (options.base !== undefined && typeof options.base?.createSession !== "function")
        throw wrongType("perplexity", "base", "a model", options.base);
      alive();
      const limits = [limit, ...(options.base ? [contextLimit(options.base.config)] : [])];
      const window = context ?? defaultWindow(Math.min(...limits));
      if (window > Math.min(...limits))
        throw new GureumError("range", {
          where: "perplexity",
          what: "context",
          expected: `at most ${Math.min(...limits)}, the model's limit`,
          got: `${window}`,
        });
      const texts = Array.isArray(text) ? (text as readonly (AnyInput | EvaluatedText)[]) : [text as AnyInput];
      const read = (one: AnyInput | EvaluatedText): EvaluatedText =>
        typeof one === "object" && one !== null && "ids" in one ? one : { ids: encodePrompt(inputOf(one as AnyInput)) };
      return perplexity(model, texts.map(read), {
        context: window,
        stride: stride ?? defaultStride(window),
        ...options,
      });
    },
    async embed(text, options) {
      alive();
      checkOptionsObject("embed", options, embedOptionNames);
      return embedIds(model, encodePrompt(inputOf(text)), options);
    },
    generate: (input, options = {}) => run(input, options),
    async generateAll(inputs, options = {}) {
      alive();
      if (!Array.isArray(inputs)) throw wrongType("generateAll", "inputs", "an array", inputs);
      checkOptionsObject("generateAll", options);
      const { sequences, onToken, onOutcome, onProgress, ...shared } = options;
      checked(shared); // what is wrong for all is not an outcome of each
      const itemOf = (given: AnyInput | InputWithOptions): Item => {
        try {
          const { input, ...own } = typeof given === "object" && given !== null && "input" in given ? given : { input: given };
          const prompt = encodePrompt(inputOf(input));
          const loop = checked(withOwn(shared, withoutUndefined(own)));
          return { prompt, options: { ...loop, decoder: decoderFor(input, prompt) } };
        } catch (error) {
          return { error };
        }
      };
      const how = withoutUndefined({ sequences, onToken, onOutcome, onProgress, signal: shared.signal }) as AllOptions;
      return generateAll(model, Array.from(inputs, itemOf), how); // a hole is an input, too
    },
    createBatch(slots, maxContext = DEFAULT_CONTEXT) {
      alive();
      return model.createBatch(slots, Math.min(limit, checkPositions("batch", "maxContext", maxContext, 1)));
    },
    createConversation() {
      alive();
      let session: Session | undefined;
      let ended = false;
      return {
        async *generate(input, options = {}) {
          if (ended) throw new GureumError("usage", { where: "conversation", what: "was disposed", remedy: "create another" });
          alive();
          const wanted = Math.min(limit, encodePrompt(input).length + checked(options).maxNewTokens);
          if (!session || session.maxContext < wanted) {
            const doubled = Math.min(limit, 2 * (session?.maxContext ?? 0));
            session?.dispose();
            session = model.createSession(Math.max(wanted, doubled));
          }
          return yield* run(input, { ...options, session });
        },
        dispose() {
          ended = true;
          session?.dispose();
        },
      };
    },
    createSession(maxContext = DEFAULT_CONTEXT) {
      alive();
      return model.createSession(Math.min(limit, checkPositions("session", "maxContext", maxContext, 1)));
    },
    takeStats,
    dispose() {
      if (!disposed) dispose();
      disposed = true;
    },
  };
}

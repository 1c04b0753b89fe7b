/** What of a model is known before its weights are: how inputs become ids, and what `generate` checks of its options. */
import { type Chat, type ChatMessage, type ChatOptions, chatOptionNames } from "./chat.ts";
import { checkIdList, checkOptionNames, checkOptionsObject, checkText, type OptionNames, wrongType } from "./core/arguments.ts";
import type { LlamaConfig } from "./core/config.ts";
import { GureumError } from "./core/errors.ts";
import { checkOptions, contextLimit, type GenerateOptions as LoopOptions } from "./core/generate/generate.ts";
import type { SamplingOptions, Session } from "./core/model/engine.ts";
import { checkFeed } from "./core/model/session.ts";
import { greedy } from "./core/sample/sampler.ts";
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

/** A text, or any other input. */
export type AnyInput = string | GenerateInput;

/** All optional: `LoadedModel.samplingDefaults`, 256 tokens, the model's own end-of-text ids. */
export interface GenerateOptions
  extends Partial<SamplingOptions>,
    Partial<Pick<LoopOptions, "maxNewTokens" | "stop" | "topLogprobs" | "signal" | "onPrefill" | "processLogits" | "speculate">> {
  /**
   * Always the likeliest token, whatever the model's own files say; a repetition penalty given beside it still counts. A temperature
   * above 0 beside it is an error "usage".
   */
  readonly greedy?: boolean;
  /** Further ids that end the text and are not part of it. A `stop` that spells one added token is compared by its id as well. */
  readonly stopIds?: readonly number[];
  /** A session of this model to continue in: what it holds of the prompt is not fed again, and it is the caller's to dispose. */
  readonly session?: Session;
}

/** What of a model is known before its weights are. */
export interface ModelPrompts {
  /** Its sizes. */
  readonly config: LlamaConfig;
  /** null where the folder has none that can be read: such a model takes ids only. */
  readonly tokenizer: Tokenizer | null;
  /** How `generate` draws where its options do not say: greedy, as generation_config.json changes it. */
  readonly samplingDefaults: SamplingOptions;
  /**
   * The ids that `generate` would feed for this input.
   * @throws GureumError, also why the folder's tokenizer cannot be read
   */
  encodePrompt(input: GenerateInput): number[];
  /** Throws what `generate` would throw of its input and options. @throws GureumError "range", "context", "usage"; as encodePrompt */
  check(input: GenerateInput, options?: GenerateOptions): void;
}

const generateOptionNames: OptionNames<GenerateOptions> = {
  maxNewTokens: true,
  greedy: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  seed: true,
  stop: true,
  stopIds: true,
  topLogprobs: true,
  processLogits: true,
  speculate: true,
  session: true,
  signal: true,
  onPrefill: true,
};
export const inputOf = (input: AnyInput): GenerateInput => (typeof input === "string" ? { text: input } : input);

/** @throws GureumError "usage" for what is no input */
function checkInput(input: GenerateInput): void {
  if (typeof input !== "object" || input === null || !["ids", "messages", "text"].some((key) => key in input))
    throw wrongType("input", "the input", "an object with text, messages or ids", input);
  if ("ids" in input) {
    checkIdList("input", "ids", input.ids);
    checkOptionNames("input", input, { ids: true });
  } else if ("messages" in input) checkOptionNames("input", input, { messages: true, ...chatOptionNames });
  else {
    checkText("input", "text", input.text);
    checkOptionNames("input", input, { text: true, specialTokens: true, addBos: true });
  }
}

/** An option that is undefined is one that was not given. */
export const withoutUndefined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

/** The loop's options, checked. */
export type CheckedOptions = Omit<LoopOptions, "decoder">;

/** Prompts and what `generate` checks of its options. */
export interface Prompts extends ModelPrompts {
  checked(options: GenerateOptions): CheckedOptions;
}

/**
 * @param chat why there is none, where the folder's tokenizer cannot be read
 * @param sampling what generation_config.json changes of greedy
 */
export function modelPrompts(config: LlamaConfig, chat: Chat | GureumError, sampling: Partial<SamplingOptions>): Prompts {
  const tokenizer = chat instanceof GureumError ? null : chat.tokenizer;
  const samplingDefaults: SamplingOptions = { ...greedy, ...sampling };
  /** The ids that end a text: the config's, the tokenizer's, the caller's, and those of stop strings that are one added token. */
  const stopIdsOf = (stop: readonly string[], stopIds: readonly number[]): Set<number> => {
    for (const id of stopIds)
      if (!Number.isInteger(id) || id < 0 || id >= config.vocabSize)
        throw new GureumError("usage", {
          where: "generate",
          what: "a stop id",
          expected: `an integer from 0 to ${config.vocabSize - 1}`,
          got: `${id}`,
        });
    const spelt = tokenizer?.addedTokens.filter(({ content }) => stop.includes(content)).map(({ id }) => id) ?? [];
    return new Set([...config.eosTokenIds, ...(tokenizer?.eosId == null ? [] : [tokenizer.eosId]), ...spelt, ...stopIds]);
  };
  const encodePrompt = (input: GenerateInput): number[] => {
    checkInput(input);
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
  const checked = (options: GenerateOptions): CheckedOptions => {
    checkOptionsObject("generate", options, generateOptionNames);
    const {
      maxNewTokens = 256,
      stop = [],
      stopIds = [],
      topLogprobs = 0,
      signal,
      onPrefill,
      processLogits,
      speculate,
      greedy: likeliest,
      session: _,
      ...given
    } = options;
    const loop = {
      sampling: { ...(likeliest ? greedy : samplingDefaults), ...withoutUndefined(given) },
      maxNewTokens,
      stop,
      stopIds: new Set<number>(),
      topLogprobs,
      ...(signal === undefined ? {} : { signal }),
      ...(onPrefill === undefined ? {} : { onPrefill }),
      ...(processLogits === undefined ? {} : { processLogits }),
      ...(speculate === undefined ? {} : { speculate }),
    };
    checkOptions(loop);
    if (likeliest && loop.sampling.temperature > 0)
      throw new GureumError("usage", {
        where: "generate",
        what: "greedy and a temperature above 0",
        expected: "one of them",
        got: `temperature ${loop.sampling.temperature}`,
        remedy: "leave greedy out to draw, or the temperature",
      });
    if (!Array.isArray(stopIds))
      throw new GureumError("usage", { where: "generate", what: "stopIds has the wrong type", expected: "an array of ids" });
    return { ...loop, stopIds: stopIdsOf(stop, stopIds) };
  };
  return {
    config,
    tokenizer,
    samplingDefaults,
    encodePrompt,
    checked,
    check(input, options = {}) {
      checked(options);
      checkFeed(config, 0, contextLimit(config), encodePrompt(input));
    },
  };
}

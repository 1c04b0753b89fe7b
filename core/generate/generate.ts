/**
 * The generation loop, once for every backend: feed the prompt, sample in batches of the backend's choice, decode to
 * text, stop.
 */

import { shown } from "../arguments.ts";
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import type { Choose, SamplingOptions, Session, Token } from "../model/engine.ts";
import { holdSession } from "../model/session.ts";
import { checkSampling } from "../sample/sampler.ts";
import { type AnswerOptions, type FinishReason, makeAnswer, type TokenEvent } from "./answer.ts";
import { type LogitsProcessor, makeChoose } from "./choose.ts";
import { sharedPrefix } from "./prefix.ts";
import { checkSpeculation, makeSpeculator, type Speculation, type SpeculationCounts, type Speculator } from "./speculate.ts";
import { MOST_STOP_LENGTH, MOST_STOPS } from "./stop.ts";

export type { FinishReason, StreamDecoder, TokenEvent } from "./answer.ts";

/** As much of the DOM's AbortSignal as is needed. */
export interface AbortLike {
  /** Whether it has fired. */
  readonly aborted: boolean;
}

/** What a generation is driven by. */
export interface GenerateOptions extends AnswerOptions {
  /** How tokens are drawn. */
  readonly sampling: SamplingOptions;
  /** Number of likeliest alternatives to report with each token; 0 for none. */
  readonly topLogprobs: number;
  /** Ends the generation when it fires. */
  readonly signal?: AbortLike;
  /** Called while the prompt is fed. */
  readonly onPrefill?: (tokensDone: number) => void | Promise<void>;
  /** Called before each draw; on WebGPU every token's logits then come to the host. */
  readonly processLogits?: LogitsProcessor;
  /** Several tokens a pass where guesses hold; the text does not depend on it (speculate.ts). */
  readonly speculate?: Speculation;
}

/** @throws GureumError "usage" naming the first option of a wrong type, "range" for a number outside its range */
export function checkOptions(options: Omit<GenerateOptions, "decoder">): void {
  const wrong = (what: string, expected: string): GureumError =>
    new GureumError("usage", { where: "generate", what: `${what} has the wrong type`, expected });
  const { stop, stopIds, topLogprobs, signal, onPrefill, maxNewTokens, processLogits, speculate } = options;
  checkSampling(options.sampling);
  if (typeof maxNewTokens !== "number") throw wrong("max-new-tokens", "a number");
  checkMaxNewTokens(maxNewTokens);
  if (!Array.isArray(stop) || !stop.every((text) => typeof text === "string")) throw wrong("stop", "an array of strings");
  if (stop.length > MOST_STOPS || stop.some(({ length }) => length > MOST_STOP_LENGTH))
    throw new GureumError("range", {
      where: "generate",
      what: "stop",
      expected: `at most ${MOST_STOPS} strings of at most ${MOST_STOP_LENGTH} characters`,
      got:
        stop.length > MOST_STOPS
          ? `${stop.length} strings`
          : `one of ${stop.find(({ length }) => length > MOST_STOP_LENGTH)!.length} characters`,
    });
  if (stop.includes(""))
    throw new GureumError("range", { where: "generate", what: "stop", expected: "texts of a character or more", got: '""' });
  for (const id of stopIds)
    if (!Number.isInteger(id) || id < 0)
      throw new GureumError("usage", { where: "generate", what: "a stop id", expected: "a token id", got: `${id}` });
  if (!Number.isInteger(topLogprobs) || topLogprobs < 0)
    throw new GureumError("usage", { where: "generate", what: "topLogprobs", expected: "a whole number from 0", got: shown(topLogprobs) });
  if (signal !== undefined && typeof signal?.aborted !== "boolean") throw wrong("signal", "an AbortSignal");
  if (processLogits !== undefined && typeof processLogits !== "function") throw wrong("processLogits", "a function");
  if (speculate !== undefined) checkSpeculation(speculate);
  if (onPrefill !== undefined && typeof onPrefill !== "function") throw wrong("onPrefill", "a function");
}

/** What a generation gave. */
export interface GenerateResult {
  /** The whole text. */
  readonly text: string;
  /** All new tokens, the last one included. */
  readonly ids: readonly number[];
  /** Why it ended. */
  readonly finishReason: FinishReason;
  /** Where `speculate` was given. */
  readonly speculation?: SpeculationCounts;
}

/**
 * The most positions this model can tell apart: max_position_embeddings, times the factor where linear or dynamic
 * scaling stretches it. llama3 files state the stretched length, and so do most with yarn; Qwen 2.5's add yarn beside the
 * trained length, and then yarn's original length times the factor is more.
 */
export function contextLimit(config: Pick<LlamaConfig, "maxPositionEmbeddings" | "ropeScaling">): number {
  const { maxPositionEmbeddings: trained, ropeScaling: scaling } = config;
  const scaled =
    scaling.type === "linear" || scaling.type === "dynamic"
      ? trained * scaling.factor
      : scaling.type === "yarn"
        ? Math.max(trained, scaling.originalMaxPositionEmbeddings * scaling.factor)
        : trained;
  return Math.min(Math.floor(scaled), 2 ** 31 - 1);
}

/** @throws GureumError "range" */
export function checkMaxNewTokens(maxNewTokens: number): void {
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1)
    throw new GureumError("range", {
      where: "generate",
      what: "max-new-tokens",
      expected: "a whole number from 1",
      got: `${maxNewTokens}`,
    });
}

/**
 * Feeds `prompt` to the session and yields a token at a time; the generator's return value sums them up. What the
 * session holds of the prompt already is not fed again; what it holds beyond that is dropped.
 * @throws GureumError "range", "context", "usage", "non-finite" as Session.prefill, "non-finite" for logits that are
 * not finite; nothing is thrown for an abort: the result says so.
 */
export async function* generate(
  given: Session,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<TokenEvent, GenerateResult, undefined> {
  const { sampling, maxNewTokens, topLogprobs, signal, speculate } = options;
  checkOptions(options);
  const session = holdSession(given, "generate");
  const kept = sharedPrefix(session.ids, prompt);
  if (session.ids.length > 0) session.truncate(kept);
  const fresh = Array.prototype.slice.call(prompt, kept) as number[];
  const answer = makeAnswer(prompt.length, options);
  let speculator: Speculator | undefined;
  let finishReason: FinishReason = "length";
  try {
    const checkAbort = async (done: number): Promise<void> => {
      await options.onPrefill?.(kept + done);
      if (signal?.aborted) throw aborted;
    };
    await session.prefill(fresh, checkAbort);
    const choose = makeChoose(session.model, options);
    if (speculate) speculator = makeSpeculator(session, speculate, sampling, choose);
    const drawsOnHost = topLogprobs > 0 || options.processLogits !== undefined;
    const next = drawsOnHost ? onHost(session, choose) : batches(session, maxNewTokens, sampling);
    while (!answer.stopped) {
      if (signal?.aborted) throw aborted;
      if (answer.left === 0) break;
      const token = await (speculator ? speculator.next(answer.left) : next());
      if (!token) {
        finishReason = "context";
        break;
      }
      const event = answer.take(token);
      if (event) yield event;
    }
    if (answer.stopped) finishReason = "stop";
  } catch (error) {
    if (error !== aborted) throw error;
    finishReason = "aborted";
  } finally {
    speculator?.dispose();
  }
  const { event, result } = answer.end(finishReason);
  if (event) yield event;
  return speculator ? { ...result, speculation: speculator.counts() } : result;
}

const aborted = new GureumError("aborted", { what: "generation was aborted" });

/**
 * Tokens from batched decodes, one at a time; undefined once the context is full. The first, which waits for no pass, is
 * asked for alone.
 */
function batches(session: Session, maxNewTokens: number, sampling: SamplingOptions): () => Promise<Token | undefined> {
  let queue: Token[] = [];
  let asked = 0;
  return async () => {
    if (queue.length === 0) {
      const count = asked === 0 ? 1 : Math.min(session.model.decodeBatch, maxNewTokens - asked);
      const { ids, logprobs } = await session.decode(sampling, count);
      asked += ids.length;
      queue = ids.map((id, i) => ({ id, logprob: logprobs[i]! }));
    }
    return queue.shift();
  };
}

/** Tokens one at a time whose logits come to the host: for alternatives, and for a hook. */
function onHost(session: Session, choose: Choose): () => Promise<Token | undefined> {
  let last: number | undefined;
  return async () => {
    if (session.ids.length + (last === undefined ? 0 : 1) >= session.maxContext) return undefined;
    const logits = last === undefined ? await session.logits() : (await session.forward([last])).logits;
    const token = choose(logits, session.ids);
    last = token.id;
    return token;
  };
}

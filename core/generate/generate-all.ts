/**
 * Many prompts through one batch: so many sequences at a time, each fed, drawn and ended by its own options, and the next prompt begins in the slot
 * of one that ended. Each gives what it gives alone: bit for bit where sequences together have the bits of one (on the CPU, in exact), else but
 * for near ties.
 */
import { shown } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import type { Batch, Model, SlotWork } from "../model/engine.ts";
import { type Answer, makeAnswer, type TokenEvent } from "./answer.ts";
import { makeChoose } from "./choose.ts";
import { type AbortLike, checkOptions, contextLimit, type GenerateOptions, type GenerateResult } from "./generate.ts";

/** One prompt, or why there is none; its options are those of `generate`, without `speculate`. */
export type Item = { readonly prompt: readonly number[]; readonly options: GenerateOptions } | { readonly error: unknown };

/** What became of an input. */
export type Outcome =
  | ({ readonly ok: true; readonly promptTokens: number } & GenerateResult)
  | { readonly ok: false; readonly error: unknown };

/** How many sequences are run together. */
export interface AllOptions {
  /** Sequences computed together at most; default: as many as are worth it and fit (Model.sequencesAtOnce). */
  readonly sequences?: number;
  /** Ends all that is left: what is under way ends as aborted with its text so far, the rest without any. */
  readonly signal?: AbortLike;
  /** Tokens and text of one sequence, as they come. What it throws ends everything. */
  readonly onToken?: (index: number, event: TokenEvent) => void | Promise<void>;
  /** An outcome as soon as there is one, in whatever order. */
  readonly onOutcome?: (index: number, outcome: Outcome) => void | Promise<void>;
  /** Inputs that are done, and all. */
  readonly onProgress?: (done: number, total: number) => void | Promise<void>;
}

interface Running {
  readonly index: number;
  readonly slot: number;
  readonly answer: Answer;
  readonly work: SlotWork;
  readonly signal: AbortLike | undefined;
  readonly promptTokens: number;
}

/** The largest of numbers above 0, however many there are. */
const longestOf = (lengths: readonly number[]): number => lengths.reduce((most, length) => Math.max(most, length), 0);

/** @throws GureumError "usage" for a number of sequences that is none */
function slotsFor(model: Model, lengths: readonly number[], sequences: number | undefined): number {
  if (sequences !== undefined && !(Number.isInteger(sequences) && sequences >= 1))
    throw new GureumError("usage", { where: "generateAll", what: "sequences", expected: "a whole number from 1", got: shown(sequences) });
  return Math.min(lengths.length, sequences ?? model.sequencesAtOnce(longestOf(lengths)));
}

/** Positions that an item may come to, as `generate` alone gives it. */
const contextOf = (model: Model, { prompt, options }: Extract<Item, { prompt: unknown }>): number =>
  Math.min(contextLimit(model.config), prompt.length + options.maxNewTokens);

/**
 * @returns an outcome for each item, in their order
 * @throws GureumError "usage", "limit" where so many sequences do not fit, and what a callback throws; what goes wrong with one item, or ends the
 * device, is an outcome
 */
export async function generateAll(model: Model, items: readonly Item[], options: AllOptions = {}): Promise<Outcome[]> {
  const { onToken, onOutcome, onProgress, signal } = options;
  for (const [name, callback] of Object.entries({ onToken, onOutcome, onProgress }))
    if (callback !== undefined && typeof callback !== "function")
      throw new GureumError("usage", { where: "generateAll", what: `${name} has the wrong type`, expected: "a function" });
  const outcomes: Outcome[] = new Array(items.length);
  let done = 0;
  const finish = async (index: number, outcome: Outcome): Promise<void> => {
    outcomes[index] = outcome;
    done++;
    await onOutcome?.(index, outcome);
    await onProgress?.(done, items.length);
  };
  const lengths = items.flatMap((item) => ("prompt" in item ? [contextOf(model, item)] : []));
  const slots = slotsFor(model, lengths, options.sequences);
  const batch: Batch | undefined = slots > 0 ? model.createBatch(slots, longestOf(lengths)) : undefined;
  const running = new Map<number, Running>();
  const free = Array.from({ length: slots }, (_, slot) => slot).reverse();

  const end = async (one: Running, reason: "stop" | "length" | "context" | "aborted"): Promise<void> => {
    const { event, result } = one.answer.end(reason);
    if (event) await onToken?.(one.index, event);
    release(one);
    await finish(one.index, { ok: true, promptTokens: one.promptTokens, ...result });
  };
  const release = ({ slot }: Running): void => {
    batch!.clear(slot);
    running.delete(slot);
    free.push(slot);
  };
  const fail = async (one: Running, error: unknown): Promise<void> => {
    release(one);
    await finish(one.index, { ok: false, error });
  };
  /** Feeds an item's prompt to a free slot. */
  const begin = async (index: number): Promise<void> => {
    const item = items[index]!;
    if ("error" in item) return finish(index, { ok: false, error: item.error });
    const { prompt, options: own } = item;
    const promptTokens = prompt.length;
    const answer = makeAnswer(promptTokens, own);
    const isAborted = (): boolean => signal?.aborted === true || own.signal?.aborted === true;
    const aborted = new GureumError("aborted", { what: "generation was aborted" });
    const slot = free.pop()!;
    try {
      checkOptions(own);
      if (own.speculate)
        throw new GureumError("usage", {
          where: "generateAll",
          what: "speculate",
          got: "guesses for many sequences together",
          remedy: "leave it out, or generate one by one",
        });
      const checkAbort = async (fed: number): Promise<void> => {
        await own.onPrefill?.(fed);
        if (isAborted()) throw aborted;
      };
      if (isAborted()) throw aborted;
      await batch!.prefill(slot, prompt, contextOf(model, item), checkAbort);
    } catch (error) {
      free.push(slot);
      if (error !== aborted) return finish(index, { ok: false, error });
      return finish(index, { ok: true, promptTokens, ...answer.end("aborted").result });
    }
    const onHost = own.topLogprobs > 0 || own.processLogits !== undefined;
    const work = { slot, sampling: own.sampling, ...(onHost ? { choose: makeChoose(model, own) } : {}) };
    running.set(slot, { index, slot, answer, work, signal: own.signal, promptTokens });
  };
  /** One decode of all that run. */
  const step = async (): Promise<void> => {
    const all = [...running.values()];
    const count = Math.min(model.decodeBatch, Math.max(...all.map(({ answer }) => answer.left)));
    const drawn = await batch!.decode(
      all.map(({ work }) => work),
      count,
    );
    for (const [i, { tokens, error }] of drawn.entries()) {
      const one = all[i]!;
      try {
        for (const token of tokens) {
          if (one.answer.stopped || one.answer.left === 0) break;
          const event = one.answer.take(token);
          if (event) await onToken?.(one.index, event);
        }
      } catch (failure) {
        if (!(failure instanceof GureumError && failure.code === "non-finite")) throw failure;
        await fail(one, failure);
        continue;
      }
      if (one.answer.stopped) await end(one, "stop");
      else if (one.answer.left === 0) await end(one, "length");
      else if (error !== undefined) await fail(one, error);
      else if (tokens.length < count) await end(one, "context");
    }
  };

  try {
    let next = 0;
    while (next < items.length || running.size > 0) {
      for (const one of [...running.values()]) if (signal?.aborted || one.signal?.aborted) await end(one, "aborted");
      while (next < items.length && (free.length > 0 || "error" in items[next]!)) await begin(next++);
      if (running.size > 0) await step();
    }
  } finally {
    batch?.dispose();
  }
  return outcomes;
}

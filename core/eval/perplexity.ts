/**
 * Perplexity of token sequences, alone or against a base model: exp of the mean of −log p(id | ids before it).
 * Long texts go through windows of `context` ids, each `stride` further than the last; a window scores the ids that no window before
 * it has scored, so that every id but the first is scored once, after context − stride ids or more (fewer only at the text's start).
 */
import { checkOptionsObject, type OptionNames, shown, wrongType } from "../arguments.ts";
import { GureumError, within } from "../errors.ts";
import type { Model } from "../model/engine.ts";
import { checkIds } from "../tensor.ts";
import { type Compared, compareLogits, surprise } from "./score.ts";
import { type Mean, meanOf, quantileOfSorted, rootMeanSquare } from "./statistics.ts";

/** What is asked of a model; a loaded one will do. */
export type EvaluatedModel = Pick<Model, "config" | "createSession">;

const textNames: OptionNames<EvaluatedText> = { ids: true, from: true };

/** @throws GureumError "usage", "range" for ids that the vocabulary has not */
function checkEvaluated(where: string, text: EvaluatedText, V: number): void {
  if (text === undefined) throw wrongType(where, "the text", "ids, with the first that is scored", text);
  checkOptionsObject(where, text, textNames);
  const { ids, from = 1 } = text;
  within(where, () => checkIds(ids, V));
  if (!Number.isSafeInteger(from) || from < 1)
    throw new GureumError("usage", {
      where,
      what: "from, the first id that is scored",
      expected: "a whole number from 1: the first id has nothing before it",
      got: shown(from),
    });
  if (from > 1 && from >= ids.length)
    throw new GureumError("range", {
      where,
      what: "from, the first id that is scored",
      expected: `less than the ${ids.length} ids`,
      got: `${from}`,
    });
}

/** One text: its ids, and the index of the first that is scored (default 1: the first has nothing before it). */
export interface EvaluatedText {
  /** Token ids. */
  readonly ids: ArrayLike<number>;
  /** Index of the first id that is scored; 1 where absent. */
  readonly from?: number;
}

export interface PerplexityOptions {
  /** Ids in a window. */
  readonly context: number;
  /** Ids from one window to the next, at most `context`. */
  readonly stride: number;
  /** The model that the first one is held against, on the same ids. */
  readonly base?: EvaluatedModel;
  /** Ids scored so far, and in all; what it throws ends the work. */
  readonly onProgress?: (done: number, total: number) => void | Promise<void>;
}

/** Figures against the base: p its distribution, q the model's. */
export interface Comparison {
  /** The base's, nats per token. */
  readonly baseLoss: Mean;
  /** exp of it. */
  readonly basePerplexity: number;
  /** Mean of (−log q[id]) − (−log p[id]), paired, nats; its exp is the ratio of the perplexities. */
  readonly lossDifference: Mean;
  /** exp of the difference of the losses. */
  readonly perplexityRatio: number;
  /** KL(p ‖ q) of a position, nats. */
  readonly kl: Mean & { readonly median: number; readonly p99: number; readonly max: number };
  /** Share of places where both have the same likeliest id. */
  readonly sameTop: Mean;
  /** q[id] − p[id] */
  readonly deltaP: Mean & { readonly rms: number; readonly p1: number; readonly p99: number };
}

/** How well a model predicts a text. */
export interface PerplexityResult {
  /** Tokens that were predicted. */
  readonly tokens: number;
  /** Nats per token. */
  readonly loss: Mean;
  /** exp of the mean loss. */
  readonly perplexity: number;
  /** perplexity · the loss's standard error */
  readonly perplexityError: number;
  /** Against the other model, where one was given. */
  readonly comparison?: Comparison;
  /** By scored id, in order. */
  readonly perToken: { readonly loss: Float64Array; readonly kl?: Float64Array; readonly deltaP?: Float64Array };
}

/** One window: feed ids [begin, end), score those from `from` on. */
export interface Window {
  readonly begin: number;
  readonly end: number;
  readonly from: number;
}

/** @throws GureumError "range" for a context below 2 or a stride outside 1 … context − 1 where windows are needed */
export function windowsOf(length: number, from: number, context: number, stride: number): Window[] {
  if (!Number.isSafeInteger(context) || context < 2)
    throw new GureumError("range", { where: "perplexity", what: "context", expected: "a whole number from 2", got: `${context}` });
  if (!Number.isSafeInteger(stride) || stride < 1 || stride >= context)
    throw new GureumError("range", {
      where: "perplexity",
      what: "stride",
      expected: `a whole number from 1 to ${context - 1}: less than the context, or ids would go unscored`,
      got: `${stride}`,
    });
  const windows: Window[] = [];
  let scored = Math.max(1, from);
  for (let begin = 0; scored < length; begin += stride) {
    const end = Math.min(length, begin + context);
    if (end <= scored) continue;
    windows.push({ begin, end, from: scored });
    scored = end;
  }
  return windows;
}

/** Positions of a scoring window that nobody asked for, at most: beyond it a token gains little and costs much. */
export const DEFAULT_WINDOW = 2048;
export const defaultWindow = (limit: number): number => Math.min(limit, DEFAULT_WINDOW);
export const defaultStride = (window: number): number => Math.max(1, Math.floor(window / 2));

/** What of the texts is scored, window by window, and how many ids. @throws GureumError "range" for ids that are none, for nothing to score, and as `windowsOf` */
export function planScoring(
  texts: readonly EvaluatedText[],
  vocabSize: number,
  { context, stride }: Pick<PerplexityOptions, "context" | "stride">,
): { readonly work: readonly (Window & Pick<EvaluatedText, "ids">)[]; readonly total: number } {
  for (const [i, text] of texts.entries()) checkEvaluated(`text ${i}`, text, vocabSize);
  const work = texts.flatMap(({ ids, from = 1 }) => windowsOf(ids.length, from, context, stride).map((window) => ({ ids, ...window })));
  const total = work.reduce((sum, { end, from }) => sum + end - from, 0);
  if (total === 0)
    throw new GureumError("range", {
      where: "perplexity",
      what: "ids to score",
      expected: "one or more",
      got: "0",
      remedy: "give a longer text",
    });
  return { work, total };
}

/** Elements of logits asked for at once. */
const LOGITS_AT_ONCE = 2 ** 22;

/** Calls `visit(i, row)` with the logits that say what ids[i] is, for each i from `from` on. `row` is only valid during the call. */
async function* scoredRows(
  model: EvaluatedModel,
  ids: readonly number[],
  from: number,
): AsyncGenerator<{ first: number; logits: Float32Array }> {
  const V = model.config.vocabSize;
  const session = model.createSession(ids.length);
  try {
    // Row t of the logits speaks of ids[t + 1], so the last id is never fed.
    if (from > 1) await session.prefill(ids.slice(0, from - 1));
    const rows = Math.max(1, Math.floor(LOGITS_AT_ONCE / V));
    for (let t = from - 1; t < ids.length - 1; t += rows) {
      const fed = ids.slice(t, Math.min(t + rows, ids.length - 1));
      const { logits } = await session.forward(fed, { logits: "all" });
      yield { first: t + 1, logits };
    }
  } finally {
    session.dispose();
  }
}

/**
 * @throws GureumError "range" for nothing to score, or a context or stride as windowsOf; "non-finite" where the model gives NaN or
 * infinite logits; "shape" where the two models' vocabularies differ
 */
export async function perplexity(
  model: EvaluatedModel,
  texts: readonly EvaluatedText[],
  { context, stride, base, onProgress }: PerplexityOptions,
): Promise<PerplexityResult> {
  const V = model.config.vocabSize;
  if (base && base.config.vocabSize !== V)
    throw new GureumError("shape", {
      where: "perplexity",
      what: "vocabularies",
      expected: `${V} ids, as the model has`,
      got: `${base.config.vocabSize}`,
      remedy: "compare models with the same tokenizer",
    });
  const { work, total } = planScoring(texts, V, { context, stride });
  const loss = new Float64Array(total);
  const compared: Compared[] = [];
  let done = 0;
  for (const { ids, begin, end, from } of work) {
    const part = Array.prototype.slice.call(ids, begin, end) as number[];
    const baseRows = base && scoredRows(base, part, from - begin);
    for await (const { first, logits } of scoredRows(model, part, from - begin)) {
      const against = (await baseRows?.next())?.value as { logits: Float32Array } | undefined;
      for (let r = 0; r < logits.length / V; r++) {
        const id = part[first + r]!;
        const row = logits.subarray(r * V, (r + 1) * V);
        const value = surprise(row, id);
        if (!Number.isFinite(value))
          throw new GureumError("non-finite", {
            where: `id ${begin + first + r} of the text`,
            what: "−log p",
            got: `${value}`,
            remedy: "gureum diff names the step that gives NaN or infinity",
          });
        if (against) compared.push(compareLogits(against.logits.subarray(r * V, (r + 1) * V), row, id));
        loss[done++] = value;
      }
      await onProgress?.(done, total);
    }
    await baseRows?.return(undefined);
  }
  const mean = meanOf(loss);
  const value = Math.exp(mean.value);
  return {
    tokens: total,
    loss: mean,
    perplexity: value,
    perplexityError: value * mean.error,
    ...(base ? { comparison: summarize(compared) } : {}),
    perToken: {
      loss,
      ...(base ? { kl: Float64Array.from(compared, (c) => c.kl), deltaP: Float64Array.from(compared, (c) => c.deltaP) } : {}),
    },
  };
}

function summarize(compared: readonly Compared[]): Comparison {
  const column = (of: (c: Compared) => number): Float64Array => Float64Array.from(compared, of);
  const baseLoss = meanOf(column((c) => c.base));
  const lossDifference = meanOf(column((c) => c.model - c.base));
  const kl = column((c) => c.kl);
  const deltaP = column((c) => c.deltaP);
  const [sortedKl, sortedDeltaP] = [kl.toSorted(), deltaP.toSorted()];
  return {
    baseLoss,
    basePerplexity: Math.exp(baseLoss.value),
    lossDifference,
    perplexityRatio: Math.exp(lossDifference.value),
    kl: { ...meanOf(kl), median: quantileOfSorted(sortedKl, 0.5), p99: quantileOfSorted(sortedKl, 0.99), max: sortedKl.at(-1)! },
    sameTop: meanOf(column((c) => Number(c.sameTop))),
    deltaP: {
      ...meanOf(deltaP),
      rms: rootMeanSquare(deltaP),
      p1: quantileOfSorted(sortedDeltaP, 0.01),
      p99: quantileOfSorted(sortedDeltaP, 0.99),
    },
  };
}

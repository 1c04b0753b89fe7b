/**
 * Text that the float model writes itself, to be trained on beside the calibration's: what a text shows of the model is then as much as one wants.
 * Two of three texts go on with one of the calibration's from a place within it, the third begins with its first id alone; ids are drawn as the
 * model has them, at temperature 1 and with nothing cut off. A number decides every draw, so the texts are the same whenever they are written.
 * Source of the idea: Liu et al. 2023, arXiv 2305.17888 (LLM-QAT, data that the model generates).
 */
import { maxSmallBytes, openFolder } from "../../checkpoint/folder.ts";
import { writeText } from "../../checkpoint/write-shards.ts";
import type { LlamaConfig } from "../../config.ts";
import { GureumError } from "../../errors.ts";
import { contextLimit, type GenerateOptions } from "../../generate/generate.ts";
import { generateAll, type Item } from "../../generate/generate-all.ts";
import type { Model } from "../../model/engine.ts";
import { decodeUtf8 } from "../../utf8.ts";
import type { Parts } from "../quantize-layers.ts";
import { stream } from "./packed.ts";
import { shuffled } from "./train.ts";

/** Text that is written so far. */
export interface Written {
  /** Ids of it. */
  readonly tokens: number;
  /** In all. */
  readonly of: number;
}

/** A model to write with, and what frees it. */
export interface Opened {
  readonly model: Model;
  dispose(): void;
}

export interface Writing {
  /** The float model; only opened where text is still to be written. */
  readonly open: () => Promise<Opened>;
  readonly config: LlamaConfig;
  /** The calibration's, each from its own BOS; at least one. */
  readonly texts: readonly (readonly number[])[];
  /** Ids that are wanted. */
  readonly wanted: number;
  /** Ids of a text, at most. */
  readonly longest: number;
  readonly parts: Parts;
  /** Files that the parts have already. */
  readonly done: ReadonlySet<string>;
  readonly onWriting?: (written: Written) => void | Promise<void>;
}

/** Texts that are written together and lie in one file. */
const MOST_TEXTS = 640;
const LEAST_TEXTS = 16;
/** Ids that a text goes on for, at most and at least; and one that begins with its first id alone. */
const MOST_IDS = 400;
const LEAST_IDS = 24;
const ALONE_IDS = 300;
/** Every so many-th text begins with its first id alone. */
const ALONE = 3;
/** Places of cuts lie in this share of a text. */
const CUT = 0.6;
/** Streams of random numbers: of a pass's order and cuts, of a text's draws. Smaller ones belong to the training. */
const PASSES = 2 ** 33;
const DRAWS = 2n ** 34n;

/** A text that is begun. */
type Begun = Extract<Item, { readonly prompt: unknown }>;

const fileOf = (part: number): string => `own-${`${part}`.padStart(5, "0")}.json`;

/** What text number `n` begins with, and how long it may get. */
function* beginnings({
  texts,
  longest,
  config,
}: Pick<Writing, "texts" | "longest" | "config">): Generator<{ prompt: number[]; most: number }> {
  const limit = Math.min(longest, contextLimit(config));
  for (let pass = 0, n = 0; ; pass++) {
    const random = stream(PASSES + pass);
    for (const i of shuffled(texts.length, random)) {
      const ids = texts[i]!;
      const alone = n++ % ALONE === 0;
      const end = alone ? 1 : Math.min(limit - 1, 1 + Math.floor(random() * Math.min(ids.length - 2, CUT * ids.length)));
      const most = alone ? ALONE_IDS : Math.min(MOST_IDS, Math.max(LEAST_IDS, 2 * ids.length));
      yield { prompt: ids.slice(0, end), most: Math.min(most, limit - end) };
    }
  }
}

const optionsOf = (config: LlamaConfig, n: number, maxNewTokens: number): GenerateOptions => ({
  sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: DRAWS + BigInt(n) },
  maxNewTokens,
  stopIds: new Set(config.eosTokenIds),
  stop: [],
  topLogprobs: 0,
  decoder: { push: () => "", flush: () => "" },
});

/**
 * As many ids as are wanted, in texts of two and more. Each part lies in a file of its own when it is written.
 * @throws GureumError "usage" where nothing comes, "format" for a file that holds no texts, and what opening and running the model throws
 */
export async function ownTexts(writing: Writing): Promise<number[][]> {
  const { open, config, texts, wanted, parts, done, onWriting } = writing;
  const begins = texts.filter(([first]) => first === config.bosTokenId);
  const next = beginnings({ ...writing, texts: begins.length > 0 ? begins : texts });
  const all: number[][] = [];
  let tokens = 0;
  let opened: Opened | undefined;
  const write = async (part: number, items: readonly Begun[]): Promise<number[][]> => {
    opened ??= await open();
    let fresh = 0;
    const outcomes = await generateAll(opened.model, items, {
      async onOutcome(i, outcome) {
        if (!outcome.ok) throw outcome.error;
        fresh += items[i]!.prompt.length + outcome.ids.length;
        await onWriting?.({ tokens: Math.min(wanted, tokens + fresh), of: wanted });
      },
    });
    const written = outcomes.map((outcome, i) => [...items[i]!.prompt, ...(outcome.ok ? outcome.ids : [])]);
    await writeText(parts.writer, fileOf(part), JSON.stringify(written));
    return written;
  };
  try {
    for (let part = 0, n = 0; tokens < wanted; part++) {
      // As many as what is left asks for by the mean length so far; the first few tell that.
      const count = Math.max(LEAST_TEXTS, Math.min(MOST_TEXTS, Math.ceil(((wanted - tokens) * all.length) / Math.max(1, tokens))));
      const items: Begun[] = [];
      for (; items.length < count; n++) {
        const { prompt, most } = next.next().value as { prompt: number[]; most: number };
        items.push({ prompt, options: optionsOf(config, n, most) });
      }
      const isThere = done.has(fileOf(part));
      const written = isThere ? await readTexts(writing, fileOf(part), count) : await write(part, items);
      const before = tokens;
      for (const ids of written) {
        const kept = ids.slice(0, wanted - tokens);
        if (kept.length < 2) continue;
        all.push(kept);
        tokens += kept.length;
      }
      // A last id by itself would be no text.
      if (tokens === before && wanted - tokens === 1) break;
      if (tokens === before)
        throw new GureumError("usage", {
          where: "quantize",
          what: "the float model ends every text at once",
          remedy: "give other calibration, or take --set ownTokens=0",
        });
      if (isThere) await onWriting?.({ tokens, of: wanted });
    }
  } finally {
    opened?.dispose();
  }
  return all;
}

/** The texts of a file that an earlier run has written. */
async function readTexts({ parts: { store }, config }: Writing, name: string, count: number): Promise<number[][]> {
  const text = decodeUtf8((await (await openFolder(store)).read(name, maxSmallBytes))!);
  let texts: unknown;
  try {
    texts = JSON.parse(text);
  } catch {
    // Said below.
  }
  const isIds = (ids: unknown): boolean =>
    Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0 && id < config.vocabSize);
  if (Array.isArray(texts) && texts.length === count && texts.every(isIds)) return texts as number[][];
  throw new GureumError("format", { where: `${store.name}/${name}`, what: "holds no texts", remedy: "remove the file" });
}

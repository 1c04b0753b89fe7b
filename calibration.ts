/** Texts to fit weights to: the built-in ones, or a file's, as ids in blocks of a fixed length. */
import { host } from "#host";
import { builtinChats, builtinTexts } from "./calibration-text.ts";
import { type Chat, type ChatMessage, checkMessages } from "./chat.ts";
import { wrongType } from "./core/arguments.ts";
import { GureumError, within } from "./core/errors.ts";
import type { Calibration } from "./core/quant/quantize-layers.ts";

/** Texts, conversations, or sequences of ids. */
export type CalibrationItem = string | readonly ChatMessage[] | { readonly ids: readonly number[] };

export interface CalibrationOptions {
  /** At most so many blocks; of more, evenly spaced ones are taken. */
  readonly samples: number;
  /** Tokens of a block. */
  readonly tokens: number;
}

const isIds = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && (id as number) >= 0);

/** A line of JSON: a text, messages, ids, or an object that has one of them. */
function itemOf(value: unknown): CalibrationItem {
  if (typeof value === "string") return value;
  if (isIds(value)) return { ids: value };
  if (Array.isArray(value)) return checkMessages("messages", value);
  const { text, messages, ids } = (value ?? {}) as { text?: unknown; messages?: unknown; ids?: unknown };
  if (typeof text === "string") return text;
  if (isIds(ids)) return { ids };
  if (messages !== undefined) return checkMessages("messages", messages);
  throw new GureumError("format", {
    what: "not a calibration text",
    expected: '"a text", {"text": "…"}, {"messages": [{"role": "user", "content": "…"}, …]} or {"ids": [1, 2, …]}',
  });
}

function jsonAt(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GureumError("format", { where, what: `not JSON (${(error as Error).message})` });
  }
}

/**
 * The texts of a file: .jsonl one for each line, .json a list of them, anything else one plain text.
 * @throws GureumError "not-found", "io", "format"
 */
export async function readCalibrationFile(path: string): Promise<CalibrationItem[]> {
  const text = await host.files.readText(path);
  if (/\.jsonl$/i.test(path))
    return text.split("\n").flatMap((line, i) => {
      if (line.trim() === "") return [];
      const where = `${path}, line ${i + 1}`;
      return [within(where, () => itemOf(jsonAt("", line)))];
    });
  if (!/\.json$/i.test(path)) return [text];
  const list = jsonAt(path, text);
  if (!Array.isArray(list)) throw new GureumError("format", { where: path, what: "not a list of texts, conversations or ids" });
  return list.map((value, i) => within(`${path}, entry ${i}`, () => itemOf(value)));
}

/** Items as a caller gives them. @throws GureumError "usage", "format" */
export function givenItems(items: unknown): CalibrationItem[] {
  if (Array.isArray(items)) return items.map((value, i) => within(`calibration, entry ${i}`, () => itemOf(value)));
  throw wrongType("calibration", "the text", '"builtin", a file, or an array of texts, conversations or ids', items);
}

/** A conversation by the model's template; its turns' texts where the model has none. */
function encodeChat(chat: Chat, messages: readonly ChatMessage[]): number[] {
  try {
    chat.checkTemplate();
  } catch (error) {
    if (!(error instanceof GureumError) || error.code !== "not-found") throw error;
    return chat.tokenizer.encode(messages.map(({ content }) => String(content)).join("\n"), { addBos: chat.tokenizer.addBos });
  }
  return chat.encode(messages, { addGenerationPrompt: false });
}

/**
 * Texts and conversations one after the other, each from its own BOS, cut into blocks; sequences of ids stay apart and
 * are cut where they are longer than a block.
 * @param chat the model's tokenizer, or why there is none
 * @throws GureumError, also why the tokenizer cannot be read where a text needs it
 */
export function calibrationOf(
  name: string,
  items: readonly CalibrationItem[],
  chat: Chat | GureumError,
  options: CalibrationOptions,
): Calibration {
  const { samples, tokens } = options;
  const cut = (ids: readonly number[]): (readonly number[])[] =>
    Array.from({ length: Math.ceil(ids.length / tokens) }, (_, i) => ids.slice(i * tokens, (i + 1) * tokens));
  const running: number[] = [];
  const blocks: (readonly number[])[] = [];
  for (const [i, item] of items.entries()) {
    if (typeof item === "object" && "ids" in item) {
      blocks.push(...cut(item.ids));
      continue;
    }
    if (chat instanceof GureumError) throw chat;
    const { tokenizer } = chat;
    const ids = within(`${name}, text ${i}`, () =>
      typeof item === "string" ? tokenizer.encode(item, { addBos: tokenizer.addBos }) : encodeChat(chat, item),
    );
    // A text that is nothing but its BOS says nothing: of an empty file.
    if (ids.length > 1 || ids[0] !== tokenizer.bosId) for (const id of ids) running.push(id);
  }
  const all = [...blocks, ...cut(running)];
  if (all.length === 0) throw new GureumError("usage", { where: name, what: "no calibration text", remedy: "give a file that holds some" });
  const count = Math.min(samples, all.length);
  return { name, texts: Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!) };
}

/** The texts that come with gureum. */
export const builtinItems = (): CalibrationItem[] => [...builtinTexts, ...builtinChats];

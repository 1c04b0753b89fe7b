/** Prompts a line and results a line: what `gureum generate --jsonl` reads, and what an output that is there already answers. */
import { GureumError } from "../core/errors.ts";
import { sha256 } from "../core/host/hash.ts";
import type { GenerateInput, InputWithOptions } from "../index.ts";
import { parseJson } from "./terminal.ts";

/** A line of the input that is not empty. */
export interface InputLine {
  /** Counted from 1, empty lines too. */
  readonly line: number;
  /** The first 16 digits of the SHA-256 of its text: which input a result answers. */
  readonly input: string;
  /** What is carried to the result as it is. */
  readonly carried: { readonly id?: unknown; readonly meta?: unknown };
  readonly given: InputWithOptions | { readonly error: GureumError };
}

const optionNames = [
  "maxNewTokens",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "seed",
  "greedy",
  "stop",
  "stopIds",
  "topLogprobs",
] as const;
const inputNames = ["prompt", "messages", "ids"] as const;
const promptNames = ["specialTokens", "addBos"] as const;
const known: readonly string[] = [...inputNames, ...promptNames, ...optionNames, "id", "meta"];

/** A seed beyond 2^53 is written as text. */
function seedOf(where: string, seed: unknown): bigint {
  const text = typeof seed === "number" ? `${seed}` : seed;
  if (typeof text === "string" && /^\d{1,20}$/.test(text)) return BigInt(text);
  throw new GureumError("format", {
    where,
    what: "seed",
    expected: "a whole number from 0, or its digits as text",
    got: JSON.stringify(seed),
  });
}

/** What a line asks for. @param shared how prompts are read where the line does not say */
function parseLine(where: string, value: unknown, shared: PromptOptions): InputWithOptions {
  if (typeof value === "string") return { input: { text: value, ...shared } };
  const wrong = (what: string, expected: string, got?: string): GureumError =>
    new GureumError("format", { where, what, expected, ...(got === undefined ? {} : { got }) });
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(
      "not a prompt",
      'a string, or an object with "prompt", "messages" or "ids"',
      Array.isArray(value) ? "an array" : JSON.stringify(value),
    );
  const object = value as Record<string, unknown>;
  const strange = Object.keys(object).find((key) => !known.includes(key));
  if (strange !== undefined)
    throw new GureumError("format", {
      where,
      what: `no such key: ${JSON.stringify(strange)}`,
      expected: known.join(", "),
      remedy: 'put what is only to be carried along under "meta"',
    });
  const inputs = inputNames.filter((name) => object[name] !== undefined);
  if (inputs.length !== 1)
    throw wrong("what to continue", 'one of "prompt", "messages", "ids"', inputs.length === 0 ? "none" : inputs.join(" and "));
  const { prompt, messages, ids, specialTokens, addBos, seed } = object;
  const forPrompts = promptNames.find((name) => object[name] !== undefined);
  if (forPrompts !== undefined && prompt === undefined) throw wrong(forPrompts, 'a line with "prompt"', inputs[0]);
  if (prompt !== undefined && typeof prompt !== "string") throw wrong("prompt", "a string", JSON.stringify(prompt));
  if (ids !== undefined && !(Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id))))
    throw wrong("ids", "an array of token ids");
  if (specialTokens !== undefined && specialTokens !== "text" && specialTokens !== "recognise")
    throw wrong("specialTokens", '"text" or "recognise"', JSON.stringify(specialTokens));
  if (addBos !== undefined && typeof addBos !== "boolean") throw wrong("addBos", "true or false", JSON.stringify(addBos));
  const own = Object.fromEntries(optionNames.flatMap((name) => (object[name] === undefined ? [] : [[name, object[name]]])));
  const input = (
    prompt !== undefined
      ? { text: prompt, ...shared, ...(specialTokens === undefined ? {} : { specialTokens }), ...(addBos === undefined ? {} : { addBos }) }
      : messages !== undefined
        ? { messages }
        : { ids }
  ) as GenerateInput;
  return { ...own, ...(seed === undefined ? {} : { seed: seedOf(where, seed) }), input };
}

/** How a prompt is read: `specialTokens` and `addBos` of GenerateInput. */
export type PromptOptions = Omit<Extract<GenerateInput, { readonly text: string }>, "text">;

/** The lines of a text; what is wrong with one is its own affair. */
export function parseLines(text: string, shared: PromptOptions): InputLine[] {
  return text.split("\n").flatMap((raw, i): InputLine[] => {
    const content = raw.trim();
    if (content === "") return [];
    const where = `line ${i + 1}`;
    const line = { line: i + 1, input: sha256(new TextEncoder().encode(content)).slice(0, 16) };
    let carried: InputLine["carried"] = {};
    try {
      const value = parseJson(where, content);
      if (typeof value === "object" && value !== null) {
        const { id, meta } = value as Record<string, unknown>;
        carried = { ...(id === undefined ? {} : { id }), ...(meta === undefined ? {} : { meta }) };
      }
      return [{ ...line, carried, given: parseLine(where, value, shared) }];
    } catch (error) {
      if (!(error instanceof GureumError)) throw error;
      return [{ ...line, carried, given: { error } }];
    }
  });
}

/**
 * The numbers of the lines that an output answers, how many of them with an error, and the length in characters of what of it is whole: a last line that was cut off is not.
 * @throws GureumError "format" for a line that is no result, or answers another input
 */
export function parseDone(
  path: string,
  text: string,
  lines: readonly InputLine[],
): { readonly done: ReadonlySet<number>; readonly failed: number; readonly whole: string } {
  const end = text.lastIndexOf("\n") + 1;
  const whole = text.slice(0, end);
  const inputs = new Map(lines.map(({ line, input }) => [line, input]));
  const done = new Set<number>();
  let failed = 0;
  for (const [i, raw] of whole.split("\n").entries()) {
    if (raw.trim() === "") continue;
    const where = `${path}:${i + 1}`;
    const { line, input, error } = (parseJson(where, raw) ?? {}) as { line?: unknown; input?: unknown; error?: unknown };
    if (typeof line !== "number" || inputs.get(line) !== input)
      throw new GureumError("format", {
        where,
        what: "not the result of a line of this input",
        ...(typeof line === "number"
          ? { got: `one of line ${line}, which ${inputs.has(line) ? "reads differently now" : "is not there"}` }
          : {}),
        remedy: "resume with the input that it was begun with, or write to another file",
      });
    done.add(line);
    if (error !== undefined) failed++;
  }
  return { done, failed, whole };
}

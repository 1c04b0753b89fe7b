/**
 * What the commands do to the terminal: results to stdout (a closed pipe is an error, not a crash), everything else to
 * stderr.
 */
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import process from "node:process";
import { GureumError } from "../core/errors.ts";
import { readFifo } from "../core/host/fifo.ts";
import { freeSome, hostError } from "../core/host/host-error.ts";
import { hideBars } from "./progress.ts";

/** Control characters as their symbols, line ends and tabs apart: what a model says must not steer a terminal. */
const visible = (text: string): string =>
  text.replace(/(?![\n\t])\p{Cc}/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x20 ? String.fromCodePoint(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
  });

/** Writes a result; resolves once it has left, so that a closed pipe is noticed where it matters. */
export function print(text: string): Promise<void> {
  const { isTTY } = process.stdout;
  if (isTTY) hideBars();
  return new Promise((resolve, reject) => {
    process.stdout.write(isTTY ? visible(text) : text, (error) => {
      if (error) reject(outputError(error));
      else resolve();
    });
  });
}

/** @returns the error that a failed write to stdout stands for */
export function outputError(error: NodeJS.ErrnoException): GureumError {
  if (error.code === "EPIPE") return new GureumError("io", { where: "stdout", what: "the reader closed the pipe" }, error);
  if (error.code === "ENOSPC") return new GureumError("disk-full", { where: "stdout", what: "no space left", remedy: freeSome });
  return new GureumError("io", { where: "stdout", what: `cannot write (${error.code ?? error.message})`, remedy: "check where it goes" });
}

/** Whether whoever read stdout went away (`… | head`): the end of the command, and no failure to tell of. */
export const isClosedPipe = (error: unknown): boolean =>
  error instanceof GureumError && error.details.where === "stdout" && (error.cause as { code?: unknown } | undefined)?.code === "EPIPE";

export const printLine = (text: string): Promise<void> => print(`${text}\n`);

/** One JSON object on one line. */
export const printJson = (value: unknown): Promise<void> => printLine(JSON.stringify(value));

/** Tells the person, not the program. */
export function note(text: string): void {
  hideBars();
  process.stderr.write(`${text}\n`);
}

/** Lets signals and writes through between two pieces of synchronous work. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** @throws GureumError "format" */
function decodeText(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new GureumError("format", { where, what: "not UTF-8 text", remedy: "save or convert it as UTF-8" });
  }
}

/** The longest text, and the longest line of many, that is read, in bytes. */
const MOST_TEXT = 100_000_000;
const tooLong = (where: string, what: string): GureumError =>
  new GureumError("limit", { where, what, expected: `at most ${MOST_TEXT} bytes`, remedy: "give a part of it" });

/** Bytes of a text, as they come. A pipe without a name (`<(…)`) has its writer already. */
async function open(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (path === "-") return process.stdin;
  const { size } = await stat(path);
  if (size > MOST_TEXT) throw tooLong(path, "the text is too long");
  const named = await realpath(path)
    .then(stat)
    .catch(() => null);
  return named?.isFIFO() ? readFifo(path) : createReadStream(path);
}

/** A file that is read, in messages. */
export const inputName = (path: string): string => (path === "-" ? "stdin" : path);

/**
 * A text file, or standard input for "-", without the mark that some programs put before UTF-8; a FIFO is read to its end.
 * @throws GureumError "not-found", "io", "format", "limit" for more than MOST_TEXT bytes: before they are read, where a file says how many
 */
export async function readText(path: string): Promise<string> {
  const where = inputName(path);
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  try {
    for await (const part of await open(path)) {
      byteLength += part.length;
      if (byteLength > MOST_TEXT) throw tooLong(where, "the text is too long");
      parts.push(part);
    }
  } catch (error) {
    throw hostError(where, error);
  }
  return decodeText(where, Buffer.concat(parts));
}

/** Lines of standard input, without their ends. @throws GureumError "limit" for a line of more than MOST_TEXT bytes, "format" for one not in UTF-8 */
export async function* inputLines(): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let byteLength = 0;
  let number = 0;
  const line = (): string => {
    const text = decodeText(`stdin line ${++number}`, Buffer.concat(parts)).replace(/\r$/, "");
    parts = [];
    byteLength = 0;
    return text;
  };
  for await (const chunk of process.stdin) {
    let rest = chunk as Buffer;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      parts.push(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      yield line();
    }
    byteLength += rest.length;
    if (byteLength > MOST_TEXT) throw tooLong("stdin", "a line is too long");
    if (rest.length > 0) parts.push(rest);
  }
  if (byteLength > 0) yield line();
}

/** @throws GureumError "format" */
export function parseJson(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GureumError("format", {
      where,
      what: `not JSON (${(error as Error).message})`,
      remedy: "check its brackets, commas and quotes",
    });
  }
}

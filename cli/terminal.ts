/**
 * What the commands do to the terminal: results to stdout (a closed pipe is an error, not a crash), everything else to
 * stderr.
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { GureumError } from "../core/errors.ts";

/** Writes a result; resolves once it has left, so that a closed pipe is noticed where it matters. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error) reject(outputError(error));
      else resolve();
    });
  });
}

/** @returns the error that a failed write to stdout stands for */
export function outputError(error: NodeJS.ErrnoException): GureumError {
  if (error.code === "EPIPE") return new GureumError("io", { where: "stdout", what: "the reader closed the pipe" });
  if (error.code === "ENOSPC") return new GureumError("disk-full", { where: "stdout", what: "no space left" });
  return new GureumError("io", { where: "stdout", what: `cannot write (${error.code ?? error.message})` });
}

export const printLine = (text: string): Promise<void> => print(`${text}\n`);

/** One JSON object on one line. */
export const printJson = (value: unknown): Promise<void> => printLine(JSON.stringify(value));

/** Tells the person, not the program. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Work shorter than this shows no bar; a bar is drawn anew at most this often. */
const BAR_MS = 200;

/** A bar on stderr where that is a terminal; nothing elsewhere. A call with done = total clears it. */
export function progressBar(label: string): (done: number, total: number) => void {
  if (!process.stderr.isTTY) return () => {};
  let drawn = performance.now();
  let visible = false;
  return (done, total) => {
    if (done >= total) {
      if (visible) process.stderr.write("\r\x1b[K");
      visible = false;
    } else if (performance.now() - drawn >= BAR_MS) {
      drawn = performance.now();
      visible = true;
      const share = done / total;
      process.stderr.write(`\r${label} ${"█".repeat(Math.floor(share * 25)).padEnd(25, "░")} ${Math.floor(share * 100)} %`);
    }
  };
}

/** Bytes of a download; what it says needs no more than the numbers. */
export function downloadBar(): (progress: { readonly fileName: string; readonly bytesDone: number; readonly bytesTotal: number }) => void {
  const bar = progressBar("downloading");
  return ({ bytesDone, bytesTotal }) => bar(bytesDone, bytesTotal);
}

/** Lets signals and writes through between two pieces of synchronous work. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * A text file, or standard input for "-".
 * @throws GureumError "not-found", "io"
 */
export async function readText(path: string): Promise<string> {
  if (path !== "-") {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") throw new GureumError("not-found", { where: path, what: "no such file" });
      throw new GureumError("io", { where: path, what: `cannot read (${code ?? error})` });
    }
  }
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

/** @throws GureumError "format" */
export function parseJson(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GureumError("format", { where, what: `not JSON (${(error as Error).message})` });
  }
}

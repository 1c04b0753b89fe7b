/**
 * FIFOs with names. Opening one waits for whoever opens its other end, and nobody may: here it is opened without waiting, and asked again
 * for a while.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { GureumError } from "../errors.ts";
import { hostError } from "./host-error.ts";

/** How long nobody may be at the other end: of one that is read, and of one that takes the result of some work. */
const WRITER_MS = 5_000;
const READER_MS = 30_000;
const ASK_MS = 10;

const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ASK_MS));
const isCode = (error: unknown, code: string): boolean => (error as { code?: unknown } | null)?.code === code;

/**
 * What is written into it, until its last writer closes it.
 * @throws GureumError "io" where nobody writes
 */
export async function* readFifo(path: string, patienceMs: number = WRITER_MS): AsyncGenerator<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const part = new Uint8Array(2 ** 16);
    const until = performance.now() + patienceMs;
    for (let met = false; ; ) {
      const bytesRead = await handle.read(part, 0, part.length, null).then(
        (read) => read.bytesRead,
        (error: unknown) => {
          if (isCode(error, "EAGAIN")) return null; // a writer is there and has not written
          throw hostError(path, error);
        },
      );
      if (bytesRead === 0 && met) return;
      if (bytesRead !== 0) met = true;
      if (bytesRead) {
        yield part.slice(0, bytesRead);
        continue;
      }
      if (!met && performance.now() > until)
        throw new GureumError("io", {
          where: path,
          what: `nobody writes to this FIFO (waited ${patienceMs / 1000} s)`,
          remedy: "start what writes to it first, or give a file",
        });
      await wait();
    }
  } finally {
    await handle.close();
  }
}

/**
 * It, to be written to.
 * @param named how its path was given, for messages
 * @throws GureumError "io" where nobody reads
 */
export async function openFifo(path: string, named: string, patienceMs: number = READER_MS): Promise<FileHandle> {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      // With this one open, opening it once more does not wait, and its writes do.
      const first = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      return await open(path, "w").finally(() => first.close());
    } catch (error) {
      if (!isCode(error, "ENXIO")) throw hostError(named, error);
    }
    if (performance.now() > until)
      throw new GureumError("io", {
        where: named,
        what: `nobody reads this FIFO (waited ${patienceMs / 1000} s)`,
        remedy: "start what reads it first, or give a file",
      });
    await wait();
  }
}

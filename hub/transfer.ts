/** One file from a server to the disk: goes on where it stopped, and is there only once its hash is right. */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GureumError } from "../core/errors.ts";
import { makeFolders } from "../core/host/folders.ts";
import { hostError } from "../core/host/host-error.ts";
import { connectionTrouble, type Patience, pause } from "../core/host/web-ask.ts";

/** A file of a repository. */
export interface RemoteFile {
  readonly path: string;
  readonly byteLength: number;
  /** SHA-256 of the bytes for a large file (LFS), git's SHA-1 of the blob for a small one: lower-case hex. Names the blob in the cache. */
  readonly etag: string;
}

/**
 * Bytes of a file from an offset on.
 * @param byteEnd where to stop; the file's end by default
 * @throws GureumError where the server refuses; RangeError where its file ends before the offset; any other error is a cut connection
 */
export type ReadFrom = (byteOffset: number, signal: AbortSignal, byteEnd?: number) => AsyncIterable<Uint8Array>;

/** Bytes read at a time where a part on disk is hashed. */
const PART = 4 * 2 ** 20;

function hashOf({ etag, byteLength }: RemoteFile): Hash {
  if (etag.length === 64) return createHash("sha256");
  return createHash("sha1").update(`blob ${byteLength}\0`);
}

/** The hash of the first `length` bytes on disk, ready to take the rest. */
async function hashBeginning(file: RemoteFile, handle: FileHandle, length: number): Promise<Hash> {
  const hash = hashOf(file);
  const bytes = new Uint8Array(Math.min(PART, Math.max(1, length)));
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, 0, Math.min(bytes.length, length - at), at);
    if (bytesRead === 0) throw new GureumError("io", { where: file.path, what: "the file was cut off while it was read" });
    hash.update(bytes.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash;
}

/** Appends what comes; an error where the connection is cut, stalls, or brings more than there is. */
async function append(
  file: RemoteFile,
  handle: FileHandle,
  hash: Hash,
  from: number,
  read: ReadFrom,
  stallMs: number,
  onBytes: (n: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const stall = new AbortController();
  const cancel = (): void => stall.abort(signal.reason);
  signal.addEventListener("abort", cancel, { once: true });

  let timer: NodeJS.Timeout | undefined;
  const watch = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stall.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs);
  };
  let at = from;
  try {
    watch();
    for await (const bytes of read(from, stall.signal)) {
      watch();
      if (at + bytes.length > file.byteLength) throw new Error("more bytes came than the file has");
      await handle.writeFile(bytes).catch((error: unknown) => {
        throw hostError(file.path, error);
      });
      hash.update(bytes);
      at += bytes.length;
      onBytes(bytes.length);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
  if (at < file.byteLength) throw new Error(`the connection closed ${file.byteLength - at} bytes early`);
}

/**
 * Completes `partial`; what is there of it is taken as the file's beginning. What arrived stays there when it ends in an error, unless the
 * bytes are wrong.
 * @param where for messages: the model's name
 * @param onBytes bytes that arrived; negative where such are thrown away
 * @param signal ends it with the signal's reason
 * @throws GureumError "network", "disk-full", "io", or what `read` throws
 */
export async function transfer(
  where: string,
  file: RemoteFile,
  partial: string,
  read: ReadFrom,
  patience: Patience,
  onBytes: (n: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const handle = await makeFolders(dirname(partial))
    .then(() => open(partial, "a+"))
    .catch((error: unknown) => {
      throw hostError(partial, error);
    });
  let wrong = false;
  try {
    let done = (await handle.stat()).size;
    const drop = async (): Promise<void> => {
      await handle.truncate(0);
      onBytes(-done);
      done = 0;
    };
    if (done > file.byteLength) await drop();
    let hash = await hashBeginning(file, handle, done);
    // A beginning from an earlier run or connection may be another file's: then all of it is asked for once more.
    let patched = done > 0;
    let restarts = 1;
    const restart = async (): Promise<void> => {
      restarts--;
      await drop();
      hash = hashOf(file);
      patched = false;
    };
    for (let failures = 0; ; ) {
      const before = done;
      try {
        if (done < file.byteLength)
          await append(
            file,
            handle,
            hash,
            done,
            read,
            patience.stallMs,
            (n) => {
              done += n;
              onBytes(n);
            },
            signal,
          );
        const got = hash.digest("hex");
        if (got === file.etag) return;
        if (patched && restarts > 0) {
          await restart();
          continue;
        }
        wrong = true;
        throw new GureumError("network", {
          where: `${where} > ${file.path}`,
          what: `what came does not have the ${file.etag.length === 64 ? "SHA-256" : "git SHA-1"} that the hub lists, and was thrown away`,
          expected: file.etag,
          got,
          remedy: "try again; if it stays so, the server or a proxy between changes the file",
        });
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof GureumError) throw error;
        if (error instanceof RangeError && done > 0 && restarts > 0) {
          await restart();
          continue;
        }
        patched = true;
        failures = done > before ? 1 : failures + 1;
        if (failures >= patience.tries)
          throw new GureumError(
            "network",
            {
              where: `${where} > ${file.path}`,
              what: `the connection broke ${failures} times in a row`,
              got: connectionTrouble(error),
              remedy: `the first ${done} of ${file.byteLength} bytes are kept: run it again to go on from there`,
            },
            error,
          );
        await pause(patience.waitMs * 2 ** (failures - 1));
        signal.throwIfAborted();
      }
    }
  } finally {
    await handle.close();
    if (wrong) await rm(partial, { force: true });
  }
}

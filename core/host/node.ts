/**
 * Reading from disk for the checkpoint rooms, through node:fs/promises, which Node and Deno both have. Reads loop over short reads
 * and notice a file that changes underneath. Writing: write.ts.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteSource, ByteStore } from "../checkpoint/byte-source.ts";
import { readSmall } from "../checkpoint/folder.ts";
import { GureumError } from "../errors.ts";
import { checkRegular, notFound, withHost } from "./host-error.ts";

/** Largest piece handed to one system call, in bytes: read(2) and write(2) stop short of 2 GiB. */
export const maxCallBytes: number = 2 ** 30;

/**
 * A file on disk, open until `close`.
 * @throws GureumError "not-found" or "io"; reads throw "io" where the file has shrunk or changed since it was opened.
 */
export function fileSource(path: string): Promise<ByteSource> {
  return withHost(path, async () => {
    // Asked before it is opened, since opening a FIFO waits for who writes it; and opened without waiting, should it change between.
    const there = await stat(path);
    checkRegular(path, there);
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const before = await handle.stat();
      checkRegular(path, before);
      return openedSource(path, handle, before.size, before.mtimeMs);
    } catch (error) {
      await handle.close();
      throw error;
    }
  });
}

function openedSource(path: string, handle: FileHandle, byteLength: number, mtimeMs: number): ByteSource {
  return {
    name: path,
    byteLength,
    readInto(byteOffset, target) {
      return withHost(path, async () => {
        if (byteOffset < 0 || byteOffset + target.length > byteLength)
          throw new GureumError("io", {
            where: path,
            what: "read past the end",
            expected: `at most ${byteLength} bytes`,
            got: `${byteOffset + target.length}`,
          });
        for (let done = 0; done < target.length; ) {
          const { bytesRead } = await handle.read(target, done, Math.min(target.length - done, maxCallBytes), byteOffset + done);
          if (bytesRead === 0)
            throw new GureumError("io", {
              where: path,
              what: "the file was cut off while it was read",
              got: `its end at ${byteOffset + done}`,
              remedy: "bring the file whole, and load again",
            });
          done += bytesRead;
        }
        const after = await handle.stat();
        if (after.size !== byteLength || after.mtimeMs !== mtimeMs)
          throw new GureumError("io", { where: path, what: "the file changed while it was read", remedy: "load again" });
      });
    },
    close: () => withHost(path, () => handle.close()),
  };
}

/** Longest text that is read whole from a file, in bytes: what a string of any engine holds. */
const mostTextBytes = 500_000_000;

/**
 * A text file whole, as UTF-8; null where there is none. Ill-formed bytes are replaced, or with `fatal` an error.
 * @throws GureumError "format" beyond 500 MB, "io" for what is no regular file
 */
export async function readTextFile(path: string, fatal = false): Promise<string | null> {
  const source = await fileSource(path).catch((error: unknown) => {
    if (error instanceof GureumError && error.code === "not-found") return null;
    throw error;
  });
  if (!source) return null;
  try {
    return new TextDecoder("utf-8", { ignoreBOM: true, fatal }).decode(await readSmall(source, path, mostTextBytes));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new GureumError("format", { where: path, what: "not UTF-8 text", remedy: "save or convert it as UTF-8" });
  } finally {
    await source.close();
  }
}

/** The text of a file. @throws GureumError "not-found", "format" where it is not UTF-8; as readTextFile */
export async function readText(path: string): Promise<string> {
  const text = await readTextFile(path, true);
  if (text === null) throw notFound(path);
  return text;
}

/** Whether there is anything at the path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** A file name without any path in it. @throws GureumError "io" */
export function checkFileName(folder: string, fileName: string): void {
  if (fileName === "" || fileName === "." || fileName === ".." || /[/\\\0]/.test(fileName))
    throw new GureumError("io", {
      where: folder,
      what: "not a plain file name",
      got: JSON.stringify(fileName),
      remedy: "give a name without a path",
    });
}

/** Why a path is no model folder: a file in its place. */
function folderError(path: string, error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOTDIR") {
    const remedy = /\.gguf$/i.test(path) ? "gureum reads safetensors: take that release of the model" : "give the folder that holds it";
    return new GureumError("not-found", { where: path, what: "is a file, not a model folder", remedy }, error);
  }
  return error;
}

/** Names of a model's files, whatever lies under them. */
const isModelFile = /\.(json|model|safetensors|jinja)$/;

/** A folder on disk. Opening nothing yet: a missing folder shows at `list` or `open`. */
export function directoryStore(path: string): ByteStore {
  return {
    name: path,
    list: () =>
      withHost(path, async () => {
        const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
          throw folderError(path, error);
        });
        // A folder, a FIFO or a device in a file's place is listed, so that whoever opens it learns what it is.
        return entries.filter((entry) => !entry.isDirectory() || isModelFile.test(entry.name)).map((entry) => entry.name);
      }),
    async open(fileName) {
      checkFileName(path, fileName);
      return fileSource(join(path, fileName));
    },
    folder(name) {
      checkFileName(path, name);
      return directoryStore(join(path, name));
    },
  };
}

/**
 * Disk for the checkpoint rooms, through node:fs/promises, which Node and Deno both have. Reads loop over short reads
 * and notice a file that changes underneath; writes go to a temporary name and are renamed when all is done. Nothing is
 * fsynced: a power cut is not covered.
 */
import { constants } from "node:fs";
import { chmod, type FileHandle, lstat, mkdir, open, readdir, readlink, rename, rm, rmdir, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { ByteSink, FolderWriter } from "../checkpoint/byte-sink.ts";
import type { ByteSource, ByteStore } from "../checkpoint/byte-source.ts";
import { readSmall } from "../checkpoint/folder.ts";
import { type ErrorCode, GureumError } from "../errors.ts";
import { beginPart, endPart, noteLeftParts, partName } from "./parts.ts";

/** Largest piece handed to one system call, in bytes: read(2) and write(2) stop short of 2 GiB. */
const maxCallBytes = 2 ** 30;

const meaning: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ["not-found", "no such file or folder"],
  ENOTDIR: ["not-found", "a part of the path is not a folder"],
  EISDIR: ["io", "is a folder, not a file"],
  EACCES: ["io", "permission denied"],
  EPERM: ["io", "permission denied"],
  EROFS: ["io", "the file system is read-only"],
  EMFILE: ["io", "too many open files"],
  ENOSPC: ["disk-full", "no space left on the disk"],
  EDQUOT: ["disk-full", "the disk quota is used up"],
  EFBIG: ["disk-full", "larger than the file system or its limit allows"],
};

/** A host error as a GureumError naming `path`; a GureumError unchanged. */
export function hostError(path: string, error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const known = typeof code === "string" ? meaning[code] : undefined;
  if (known) return new GureumError(known[0], { where: path, what: known[1] }, error);
  return new GureumError("io", { where: path, what: error instanceof Error ? error.message : String(error) }, error);
}

async function withHost<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw hostError(path, error);
  }
}

/**
 * A file on disk, open until `close`.
 * @throws GureumError "not-found" or "io"; reads throw "io" where the file has shrunk or changed since it was opened.
 */
export function fileSource(path: string): Promise<ByteSource> {
  return withHost(path, async () => {
    // Asked before it is opened, since opening a FIFO waits for who writes it; and opened without waiting, should it change between.
    const there = await stat(path);
    if (there.isDirectory()) throw new GureumError("io", { where: path, what: "is a folder, not a file" });
    if (!there.isFile()) throw new GureumError("io", { where: path, what: "is not a regular file" });
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const before = await handle.stat();
      if (!before.isFile()) throw new GureumError("io", { where: path, what: "is not a regular file" });
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
  if (text === null) throw new GureumError("not-found", { where: path, what: "no such file or folder" });
  return text;
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/**
 * Makes a folder and the parents that it lacks. Node's own recursive mkdir never comes back from /proc, which refuses every folder as if its
 * parent were missing.
 * @returns the topmost folder that was made; undefined where all were there
 * @throws what Node's mkdir throws
 */
export async function makeFolders(path: string, mode?: number): Promise<string | undefined> {
  const make = async (): Promise<string | undefined> => {
    try {
      await mkdir(path, mode);
      return path;
    } catch (error) {
      if (await isFolder(path)) return undefined;
      throw error;
    }
  };
  try {
    return await make();
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT" || dirname(path) === path) throw error;
    const first = await makeFolders(dirname(path), mode);
    const own = await make();
    return first ?? own;
  }
}

/** The last part of a path, "." resolved. */
export const folderName = (path: string): string => basename(resolve(path));

/** Whether there is anything at the path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** A file name without any path in it. */
function checkFileName(folder: string, fileName: string): void {
  if (fileName === "" || fileName === "." || fileName === ".." || /[/\\\0]/.test(fileName))
    throw new GureumError("io", { where: folder, what: "not a plain file name", got: JSON.stringify(fileName) });
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

/**
 * The bytes free for this user on the file system of `path` (or of its nearest existing parent) must reach
 * `byteLength`.
 * @throws GureumError "disk-full".
 */
export async function checkFreeSpace(path: string, byteLength: number): Promise<void> {
  let existing = path;
  for (;;) {
    try {
      await stat(existing);
      break;
    } catch {
      const parent = dirname(existing);
      if (parent === existing) break;
      existing = parent;
    }
  }
  const free = await withHost(path, async () => {
    const { bavail, blocks, bsize } = await statfs(existing);
    // A file system without blocks (/proc) does not say what is free.
    return blocks === 0 ? Infinity : bavail * bsize;
  });
  if (free < byteLength)
    throw new GureumError("disk-full", { where: path, what: "not enough free space", expected: `${byteLength} bytes`, got: `${free}` });
}

/** Sends what `body` gives to an open file; errors name `final`. */
async function send(handle: FileHandle, final: string, body: (sink: ByteSink) => Promise<void>): Promise<void> {
  try {
    await body((bytes) =>
      withHost(final, async () => {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, maxCallBytes));
          if (bytesWritten === 0) throw new GureumError("disk-full", { where: final, what: "the disk takes no more bytes" });
          done += bytesWritten;
        }
      }),
    );
  } finally {
    await handle.close();
  }
}

/** Writes `temporary`, which stands for `final` and gets the mode of what is there. */
async function writeTemporary(temporary: string, final: string, body: (sink: ByteSink) => Promise<void>): Promise<void> {
  const present = await stat(final).catch(() => null);
  const mode = present?.isFile() ? present.mode & 0o7777 : undefined;
  // From the start, so that nobody reads meanwhile what is nobody else's; and again, for what the process masks.
  const handle = await open(temporary, "wx", mode);
  await send(handle, final, body);
  if (mode !== undefined) await chmod(temporary, mode);
}

/**
 * Lets `body` write files into the folder `path` (made where it is missing), all under temporary names; renames them
 * once `body` has ended. Whatever fails, nothing new is left: neither a file nor a folder made here. Files of the same
 * name are replaced.
 * @throws GureumError "disk-full", "io", or what `body` throws.
 */
export async function writeFolder<T>(path: string, body: (folder: FolderWriter) => Promise<T>): Promise<T> {
  const made = await withHost(path, () => makeFolders(path));
  if (made === undefined) await noteLeftParts(path);
  const pending: { readonly temporary: string; readonly final: string }[] = [];
  const renamed: string[] = [];
  try {
    const result = await body({
      async file(fileName, write) {
        checkFileName(path, fileName);
        const temporary = join(path, partName(fileName));
        const final = join(path, fileName);
        beginPart(temporary);
        pending.push({ temporary, final });
        await withHost(final, () => writeTemporary(temporary, final, write));
      },
    });
    for (const { final } of pending) {
      const present = await stat(final).catch(() => null);
      if (present?.isDirectory()) throw new GureumError("io", { where: final, what: "is a folder, not a file" });
    }
    for (const { temporary, final } of pending) {
      await withHost(final, () => rename(temporary, final));
      renamed.push(final);
    }
    return result;
  } catch (error) {
    for (const file of [...renamed, ...pending.map(({ temporary }) => temporary)]) await rm(file, { force: true }).catch(() => {});
    if (made !== undefined) await removeEmptyFolders(path, made);
    throw error;
  } finally {
    for (const { temporary } of pending) endPart(temporary);
  }
}

/**
 * Removes `path` and its parents up to and including `first`, the topmost folder that mkdir made, as far as they are
 * empty.
 */
async function removeEmptyFolders(path: string, first: string): Promise<void> {
  for (let folder = path; ; folder = dirname(folder)) {
    const removed = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!removed || folder === first || dirname(folder) === folder) return;
  }
}

/** Where a link leads in the end, whether something is there or not. */
async function linkTarget(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < 40; links++) {
    const there = await lstat(at).catch(() => null);
    if (!there?.isSymbolicLink()) return at;
    at = resolve(dirname(at), await readlink(at));
  }
  throw new GureumError("io", { where: path, what: "links that lead in a circle" });
}

/**
 * One file, whole or not at all: written beside its place and renamed over it, with the mode of what was there. A link is
 * followed, and the file it names replaced; a device or a FIFO is written to.
 * @throws GureumError "not-found" where its folder is missing, "disk-full", "io", or what `body` throws.
 */
export async function writeFile(path: string, body: (sink: ByteSink) => Promise<void>): Promise<void> {
  const named = dirname(path);
  await withHost(named, () => stat(named));
  const link = await lstat(path).catch(() => null);
  const final = link?.isSymbolicLink() ? await withHost(path, () => linkTarget(path)) : path;
  const there = await stat(final).catch(() => null);
  if (there && !there.isFile() && !there.isDirectory()) return withHost(path, async () => send(await open(final, "w"), path, body));
  const folder = dirname(final);
  await withHost(folder, () => stat(folder));
  await writeFolder(folder, (writer) => writer.file(basename(final), body));
}

/**
 * Whether a path is a folder, and whether anything lies in it.
 * @throws GureumError "usage" for what a new folder cannot take the place of: no path, a file, an empty folder that is a link or another disk; "io"
 */
export async function folderState(path: string): Promise<"absent" | "empty" | "filled"> {
  const wrong = (what: string, remedy: string): GureumError => new GureumError("usage", { where: path, what, remedy });
  if (path === "") throw wrong("the path of the folder is empty", "give a name");
  return withHost(path, async () => {
    const own = await lstat(path).catch((error: unknown) => {
      if ((error as { code?: unknown }).code === "ENOENT") return null;
      throw error;
    });
    if (!own) return "absent";
    const there = await stat(path).catch(() => null);
    if (!there) throw wrong("is a link that leads nowhere", "remove it, or give another name");
    if (!there.isDirectory()) throw wrong("is there and not a folder", "give another name");
    if ((await readdir(path)).length > 0) return "filled";
    if (own.isSymbolicLink()) throw wrong("is a link to an empty folder", "give that folder itself");
    // A folder that is renamed stays on its disk.
    if (there.dev !== (await stat(dirname(resolve(path)))).dev) throw wrong("is where another disk begins", "give a new folder within it");
    return "empty";
  });
}

/** Makes a folder, and its parents, where they are missing, of the mode given. @throws GureumError "io", "disk-full" */
export const makeFolder = (path: string, mode?: number): Promise<void> =>
  withHost(path, async () => {
    await makeFolders(path, mode);
  });

/** Removes a folder and what is in it, if it is there. @throws GureumError "io" */
export const removeFolder = (path: string): Promise<void> => withHost(path, () => rm(path, { recursive: true, force: true }));

/** Gives a folder another name, in one step; an empty folder of that name is replaced. @throws GureumError "io" */
export const moveFolder = (from: string, to: string): Promise<void> =>
  withHost(to, async () => {
    await rmdir(to).catch(() => {});
    await rename(from, to);
  });

/** Writes single files into a folder that is there, each whole or not at all. */
export const filesIn = (path: string): FolderWriter => ({
  async file(fileName, body) {
    checkFileName(path, fileName);
    await writeFile(join(path, fileName), body);
  },
});

/**
 * Writing to disk, through node:fs/promises, which Node and Deno both have: to a temporary name, renamed when all is done. Nothing is
 * fsynced: a power cut is not covered.
 */
import type { Stats } from "node:fs";
import { chmod, type FileHandle, lstat, open, readlink, rename, rm, rmdir, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { ByteSink, FolderWriter } from "../checkpoint/byte-sink.ts";
import { GureumError } from "../errors.ts";
import { openFifo } from "./fifo.ts";
import { makeFolders } from "./folders.ts";
import { freeSome, isFolder, withHost } from "./host-error.ts";
import { checkFileName, maxCallBytes } from "./node.ts";
import { beginPart, endPart, noteLeftParts, partName } from "./parts.ts";

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
    throw new GureumError("disk-full", {
      where: path,
      what: "not enough free space",
      expected: `${byteLength} bytes`,
      got: `${free}`,
      remedy: freeSome,
    });
}

/** Sends what `body` gives to an open file; errors name `final`. */
async function send(handle: FileHandle, final: string, body: (sink: ByteSink) => Promise<void>): Promise<void> {
  try {
    await body((bytes) =>
      withHost(final, async () => {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, maxCallBytes));
          if (bytesWritten === 0) throw Object.assign(new Error(), { code: "ENOSPC" });
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
      if (present?.isDirectory()) throw isFolder(final);
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
  throw Object.assign(new Error(), { code: "ELOOP" });
}

/** The file that a path means, links followed, and what is there. @throws GureumError "not-found", "io" for what cannot be written */
async function targetOf(path: string): Promise<{ readonly final: string; readonly there: Stats | null }> {
  if (path === "") throw new GureumError("usage", { where: "a file to write", what: "the path is empty", remedy: "give a name" });
  const named = dirname(path);
  await withHost(named, () => stat(named));
  const link = await lstat(path).catch(() => null);
  const final = link?.isSymbolicLink() ? await withHost(path, () => linkTarget(path)) : path;
  const there = await stat(final).catch(() => null);
  if (there?.isDirectory()) throw isFolder(final);
  if (there?.isSocket()) throw new GureumError("io", { where: path, what: "is a socket, not a file", remedy: "give a file" });
  const folder = dirname(final);
  await withHost(folder, () => stat(folder));
  return { final, there };
}

/**
 * That `writeFile` can begin there: told before the work whose result the file is to hold. A byte is written beside the place and removed.
 * @returns the file, links followed; null for a FIFO or a device, which are asked when they are written to
 * @throws GureumError as `writeFile` does
 */
export async function checkWritable(path: string): Promise<string | null> {
  const { final, there } = await targetOf(path);
  if (there && !there.isFile()) return null;
  const temporary = join(dirname(final), partName(basename(final)));
  beginPart(temporary);
  try {
    await withHost(path, async () => send(await open(temporary, "wx"), path, (sink) => sink(Uint8Array.of(0))));
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
    endPart(temporary);
  }
  return resolve(final);
}

/**
 * One file, whole or not at all: written beside its place and renamed over it, with the mode of what was there. A link is
 * followed, and the file it names replaced; a device or a FIFO is written to.
 * @throws GureumError "not-found" where its folder is missing, "disk-full", "io", or what `body` throws.
 */
export async function writeFile(path: string, body: (sink: ByteSink) => Promise<void>): Promise<void> {
  const { final, there } = await targetOf(path);
  if (there?.isFIFO()) return withHost(path, async () => send(await openFifo(final, path), path, body));
  if (there && !there.isFile()) return withHost(path, async () => send(await open(final, "w"), path, body));
  await writeFolder(dirname(final), (writer) => writer.file(basename(final), body));
}

/** Writes single files into a folder that is there, each whole or not at all. */
export const filesIn = (path: string): FolderWriter => ({
  async file(fileName, body) {
    checkFileName(path, fileName);
    await writeFile(join(path, fileName), body);
  },
});

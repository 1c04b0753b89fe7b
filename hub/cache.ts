/**
 * The folder that huggingface_hub of Python and gureum share. Of each model: blobs/ETAG, the bytes, named by their hash; snapshots/COMMIT/FILE,
 * a link to them; refs/REVISION, the commit that a branch or tag was at. Source: huggingface_hub `file_download.py`.
 *
 * Python's locks are those of flock(2), which Node cannot take; it keeps its own parts apart (ETAG.RANDOM.incomplete), and so does gureum
 * (ETAG.gureum.incomplete): both may download the same file at once, neither breaks the other's.
 */
import { copyFile, readdir, readlink, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { makeFolders } from "../core/host/folders.ts";
import { hostError } from "../core/host/host-error.ts";
import { readTextFile } from "../core/host/node.ts";
import { isCommit, type ModelName } from "./name.ts";

export interface CacheFolder {
  readonly blob: (etag: string) => string;
  readonly partial: (etag: string) => string;
  readonly lock: (etag: string) => string;
  readonly snapshot: (commit: string) => string;
  readonly pointer: (commit: string, path: string) => string;
  readonly ref: (revision: string) => string;
}

export function cacheFolder(cache: string, { id }: ModelName): CacheFolder {
  const name = `models--${id.replace("/", "--")}`;
  const root = join(cache, name);
  const blob = (etag: string): string => join(root, "blobs", etag);
  const snapshot = (commit: string): string => join(root, "snapshots", commit);
  return {
    blob,
    partial: (etag) => `${blob(etag)}.gureum.incomplete`,
    lock: (etag) => join(cache, ".locks", name, `${etag}.gureum.lock`),
    snapshot,
    pointer: (commit, path) => join(snapshot(commit), path),
    ref: (revision) => join(root, "refs", revision),
  };
}

/** Bytes of a file, following links; null where there is none. */
export const sizeOf = async (path: string): Promise<number | null> => {
  const info = await stat(path).catch(() => null);
  return info?.isFile() ? info.size : null;
};

/** The commit that a revision was at when it was last looked up; null where it never was. */
export async function cachedCommit(folder: CacheFolder, revision: string): Promise<string | null> {
  if (isCommit(revision)) return revision;
  const text = (await readTextFile(folder.ref(revision)).catch(() => null))?.trim() ?? "";
  return isCommit(text) ? text : null;
}

/** Keeps what commit a revision is at. */
export async function keepCommit(folder: CacheFolder, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await cachedCommit(folder, revision)) === commit) return;
  const path = folder.ref(revision);
  try {
    await makeFolders(dirname(path));
    const aside = `${path}.${process.pid}`;
    await writeFile(aside, commit);
    await rename(aside, path);
  } catch (error) {
    throw hostError(path, error);
  }
}

/** A completed part becomes the blob. */
export async function keepBlob(folder: CacheFolder, etag: string): Promise<void> {
  try {
    await rename(folder.partial(etag), folder.blob(etag));
  } catch (error) {
    throw hostError(folder.blob(etag), error);
  }
}

/** Lets a snapshot's file be the blob: a link, or a copy where the file system has no links. */
export async function point(folder: CacheFolder, commit: string, path: string, etag: string): Promise<void> {
  const pointer = folder.pointer(commit, path);
  const target = relative(dirname(pointer), folder.blob(etag));
  try {
    await makeFolders(dirname(pointer));
    if ((await readlink(pointer).catch(() => null)) === target) return;
    await rm(pointer, { force: true });
    await symlink(target, pointer).catch(async (error: unknown) => {
      const code = (error as { code?: unknown }).code;
      // Somebody else was faster; or this is a file system without links.
      if (code === "EEXIST") return;
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
      await copyFile(folder.blob(etag), pointer);
    });
  } catch (error) {
    throw hostError(pointer, error);
  }
}

/** Names of the files in a snapshot; null where there is no such snapshot. */
export const snapshotNames = (folder: CacheFolder, commit: string): Promise<string[] | null> =>
  readdir(folder.snapshot(commit)).catch(() => null);

/** What a host says of a file that it does not open, read or write, as the one error of the project. */
import type { Stats } from "node:fs";
import { type ErrorCode, GureumError } from "../errors.ts";

/** What to do about a full disk. */
export const freeSome = "free some, or give a path on another disk";
const allow = "change its permissions, or give another path";
const meaning: Readonly<Record<string, readonly [code: ErrorCode, what: string, remedy: string]>> = {
  ENOENT: ["not-found", "no such file or folder", "check the path"],
  ENOTDIR: ["not-found", "a part of the path is not a folder", "check the path"],
  EISDIR: ["io", "is a folder, not a file", "give a file"],
  EEXIST: ["io", "is there already", "give another name"],
  EACCES: ["io", "permission denied", allow],
  EPERM: ["io", "permission denied", allow],
  EROFS: ["io", "the file system is read-only", "give a path on another disk"],
  EMFILE: ["io", "too many open files", "raise the limit of the shell (ulimit -n)"],
  ENFILE: ["io", "too many open files", "close other programs"],
  ELOOP: ["io", "links that lead in a circle", "give the file itself"],
  ENAMETOOLONG: ["io", "the name is too long", "give a shorter one"],
  EBUSY: ["io", "another program uses it", "close that program, or give another path"],
  EIO: ["io", "the disk failed", "check the disk, or give a path on another one"],
  ENOSPC: ["disk-full", "no space left on the disk", freeSome],
  EDQUOT: ["disk-full", "the disk quota is used up", freeSome],
  EFBIG: ["disk-full", "larger than the file system or its limit allows", "give a path on another disk, or raise the limit (ulimit -f)"],
};

const known = (path: string, name: keyof typeof meaning, cause?: unknown): GureumError => {
  const [code, what, remedy] = meaning[name]!;
  return new GureumError(code, { where: path || '""', what, remedy }, cause);
};

/** A host error as a GureumError naming `path`; a GureumError unchanged. */
export function hostError(path: string, error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "string" && Object.hasOwn(meaning, code)) return known(path, code, error);
  const what = error instanceof Error ? error.message : String(error);
  return new GureumError("io", { where: path, what, remedy: "check the path and its disk" }, error);
}

/** What `body` gives; what it throws as `hostError`. */
export async function withHost<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw hostError(path, error);
  }
}

/** That nothing lies at the path. */
export const notFound = (path: string): GureumError => known(path, "ENOENT");

/** That a folder is where a file is due. */
export const isFolder = (path: string): GureumError => known(path, "EISDIR");

/** What is no file that can be read at any place: a folder, a FIFO, a device, a socket. @throws GureumError "io" */
export function checkRegular(path: string, there: Stats): void {
  if (there.isDirectory()) throw isFolder(path);
  if (!there.isFile()) throw new GureumError("io", { where: path, what: "is not a regular file", remedy: "give a file" });
}

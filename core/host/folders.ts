/** Folders on disk: made, moved, removed, and what they are. */
import { lstat, mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { GureumError } from "../errors.ts";
import { withHost } from "./host-error.ts";

const isThere = (path: string): Promise<boolean> =>
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
      if (await isThere(path)) return undefined;
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

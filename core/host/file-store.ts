/**
 * Folders that a person gives a page: by a directory picker's handle, dropped (an entry), or by the list of an `<input webkitdirectory>`.
 * Nothing is read but what is asked for. Source: WHATWG File System Standard; File and Directory Entries API.
 */
import { wrongType } from "../arguments.ts";
import { type ByteSource, type ByteStore, treeStore } from "../checkpoint/byte-source.ts";
import { GureumError } from "../errors.ts";
import { type BlobLike, blobSource } from "./blobs.ts";

/** As much of the web's File as is needed. */
export interface FileLike extends BlobLike {
  /** Without its folder. */
  readonly name: string;
  /** "folder/file" where a folder was chosen. */
  readonly webkitRelativePath?: string;
}

/** As much of FileSystemDirectoryHandle as is needed. */
export interface DirectoryHandleLike {
  /** What tells it from a file's handle. */
  readonly kind: "directory";
  /** Without the path that leads to it. */
  readonly name: string;
  /** What lies in it. */
  values(): AsyncIterable<{ readonly kind: string; readonly name: string }>;
  /** A file in it; rejects where there is none. */
  getFileHandle(name: string): Promise<{ getFile(): Promise<BlobLike> }>;
  /** A folder in it; rejects where there is none. */
  getDirectoryHandle(name: string): Promise<DirectoryHandleLike>;
}

/** As much of FileSystemDirectoryEntry as is needed. */
export interface DirectoryEntryLike {
  /** Whether it is a folder: a dropped item may be a file. */
  readonly isDirectory: boolean;
  /** Without the path that leads to it. */
  readonly name: string;
  /** Of a folder: tells what lies in it, some entries at each call, none at the end. */
  createReader?(): { readEntries(done: (entries: readonly EntryLike[]) => void, fail: (error: unknown) => void): void };
}
/** What lies in a dropped folder: a folder or a file. */
export interface EntryLike extends DirectoryEntryLike {
  /** Of a file: its bytes. */
  file?(done: (file: BlobLike) => void, fail: (error: unknown) => void): void;
}

/** A folder of the person's. */
export type GivenFolder = DirectoryHandleLike | DirectoryEntryLike | Iterable<FileLike>;

/** A browser's refusal, named. @param where the file or folder */
export function fileError(where: string, error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const { name = "", message = String(error) } = (error ?? {}) as { name?: string; message?: string };
  if (name === "NotFoundError" || name === "TypeMismatchError")
    return new GureumError("not-found", { where, what: "no such file or folder" }, error);
  if (name === "NotAllowedError" || name === "SecurityError")
    return new GureumError(
      "access",
      { where, what: "the browser does not let this page read it", remedy: "choose the folder again" },
      error,
    );
  return new GureumError("io", { where, what: message, remedy: "choose the folder again" }, error);
}

const named = async <T>(where: string, body: () => Promise<T>): Promise<T> => {
  try {
    return await body();
  } catch (error) {
    throw fileError(where, error);
  }
};

/** @param find the folder; it may be missing, which shows when it is asked */
function handleStore(name: string, find: () => Promise<DirectoryHandleLike>): ByteStore {
  return {
    name,
    list: () =>
      named(name, async () => {
        const names: string[] = [];
        for await (const entry of (await find()).values()) if (entry.kind === "file") names.push(entry.name);
        return names;
      }),
    open: (fileName) =>
      named(`${name}/${fileName}`, async () => {
        const handle = await (await find()).getFileHandle(fileName);
        return blobSource(`${name}/${fileName}`, await handle.getFile());
      }),
    folder: (inner) => handleStore(`${name}/${inner}`, async () => (await find()).getDirectoryHandle(inner)),
  };
}

/** The entries of a dropped folder; a reader gives them some at a time, and none at the end. */
async function entriesOf(where: string, entry: DirectoryEntryLike): Promise<EntryLike[]> {
  const reader = entry.createReader?.();
  if (!reader) throw new GureumError("not-found", { where, what: "not a folder", remedy: "drop the folder that holds the model" });
  const all: EntryLike[] = [];
  for (;;) {
    const some = await named(where, () => new Promise<readonly EntryLike[]>((done, fail) => reader.readEntries(done, fail)));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

function entryStore(name: string, find: () => Promise<DirectoryEntryLike>): ByteStore {
  const entries = async (): Promise<EntryLike[]> => entriesOf(name, await find());
  const one = async (inner: string, isDirectory: boolean): Promise<EntryLike> => {
    const found = (await entries()).find((entry) => entry.name === inner && entry.isDirectory === isDirectory);
    if (found) return found;
    throw new GureumError("not-found", { where: `${name}/${inner}`, what: "no such file or folder" });
  };
  return {
    name,
    list: async () => (await entries()).filter(({ isDirectory }) => !isDirectory).map((entry) => entry.name),
    async open(fileName) {
      const where = `${name}/${fileName}`;
      const entry = await one(fileName, false);
      return blobSource(where, await named(where, () => new Promise<BlobLike>((done, fail) => entry.file!(done, fail))));
    },
    folder: (inner) => entryStore(`${name}/${inner}`, () => one(inner, true)),
  };
}

/** Files by path, without the folder that all of them lie in. */
function listStore(files: readonly FileLike[]): ByteStore {
  const [first] = files;
  if (!first) throw new GureumError("not-found", { where: "the chosen files", what: "there are none", remedy: "choose a model folder" });
  for (const file of files)
    if (typeof file?.name !== "string" || typeof file.slice !== "function") throw wrongType("fileStore", "a file", "a File", file);
  const paths = files.map(({ name, webkitRelativePath }) => webkitRelativePath || name);
  const folder = paths[0]!.split("/")[0]!;
  const isFolder = paths.every((path) => path.startsWith(`${folder}/`));
  const opened = files.map((file, i): [string, (where: string) => Promise<ByteSource>] => [
    isFolder ? paths[i]!.slice(folder.length + 1) : paths[i]!,
    async (where) => blobSource(where, file),
  ]);
  return treeStore(isFolder ? folder : "the chosen files", new Map(opened));
}

/**
 * A folder of the person's as a place for `loadModel`: a FileSystemDirectoryHandle, a FileSystemDirectoryEntry, a FileList or any files.
 * @throws GureumError "not-found" where there are no files, "usage" for what is none of these; from its calls "not-found", "access", "io"
 */
export function fileStore(given: GivenFolder): ByteStore {
  if (typeof given !== "object" || given === null)
    throw wrongType("fileStore", "the folder", "a FileSystemDirectoryHandle, a FileSystemDirectoryEntry, a FileList or files", given);
  if (Symbol.iterator in given) return listStore([...given]);
  if ("kind" in given) return handleStore(given.name, async () => given);
  return entryStore(given.name, async () => given);
}

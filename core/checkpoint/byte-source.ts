/**
 * Where bytes come from: the only thing a checkpoint needs of the world. Disk folders are in core/host; a caller may
 * bring any other storage (a browser's file handle, HTTP ranges, memory).
 */
import type { Heard } from "../arguments.ts";
import { GureumError } from "../errors.ts";

/** A file of known length, read by range. */
export interface ByteSource {
  /** For messages: a file name or address. */
  readonly name: string;
  /** Bytes there are. */
  readonly byteLength: number;
  /** Changes when the bytes do, where the storage has such a thing: a server's ETag. */
  readonly version?: string;
  /**
   * Fills `target` with the bytes from `byteOffset` on.
   * @throws GureumError "io" where the range cannot be read in full.
   */
  readInto(byteOffset: number, target: Uint8Array): Promise<void>;
  /** Gives back what it holds; nothing may be read afterwards. */
  close(): Promise<void>;
}

/** A folder of such files. */
export interface ByteStore {
  /** What messages call it. */
  readonly name: string;
  /** File names, unsorted, without sub-folders. */
  list(): Promise<string[]>;
  /** A file of it, to be closed by whoever opened it. @throws GureumError "not-found" where there is no such file. */
  open(fileName: string): Promise<ByteSource>;
  /** A folder inside this one, existing or not; a store without the function has none. */
  folder?(name: string): ByteStore;
}

/** Of all files that are brought. */
export interface DownloadProgress {
  /** The one that brought bytes last. */
  readonly fileName: string;
  /** Counts what an earlier run left. */
  readonly bytesDone: number;
  /** All there is to bring. */
  readonly bytesTotal: number;
}

/** `byteLength` bytes from `byteOffset` on, in a buffer of their own. */
export async function readBytes(source: ByteSource, byteOffset: number, byteLength: number): Promise<Uint8Array> {
  const target = new Uint8Array(byteLength);
  await source.readInto(byteOffset, target);
  return target;
}

/** @throws GureumError "io" for a range that is not all within the file */
export function checkRange({ name, byteLength }: Pick<ByteSource, "name" | "byteLength">, byteOffset: number, length: number): void {
  if (byteOffset < 0 || byteOffset + length > byteLength)
    throw new GureumError("io", {
      where: name,
      what: "read past the end",
      expected: `at most ${byteLength} bytes`,
      got: `${byteOffset + length}`,
    });
}

/** A source over bytes in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const source = { name, byteLength: bytes.length };
  return {
    ...source,
    async readInto(byteOffset, target) {
      checkRange(source, byteOffset, target.length);
      target.set(bytes.subarray(byteOffset, byteOffset + target.length));
    },
    async close() {},
  };
}

/** A store over files that are known by path, "folder/file", each with what opens it under the name that messages call it. */
export function treeStore(name: string, files: ReadonlyMap<string, (where: string) => Promise<ByteSource>>): ByteStore {
  return {
    name,
    async list() {
      return [...files.keys()].filter((path) => !path.includes("/"));
    },
    async open(fileName) {
      const open = files.get(fileName);
      if (!open) throw new GureumError("not-found", { where: `${name}/${fileName}`, what: "no such file" });
      return open(`${name}/${fileName}`);
    },
    folder(inner) {
      const inside = [...files].filter(([path]) => path.startsWith(`${inner}/`));
      return treeStore(`${name}/${inner}`, new Map(inside.map(([path, open]) => [path.slice(inner.length + 1), open])));
    },
  };
}

/** A store whose calls end with the errors of the callbacks that it was made with. */
export function heardStore(store: ByteStore, end: Heard<unknown>["end"]): ByteStore {
  const { folder } = store;
  return {
    name: store.name,
    list: () => end(store.list()),
    open: (fileName) => end(store.open(fileName), (source) => void source.close().catch(() => {})),
    ...(folder ? { folder: (inner) => heardStore(folder.call(store, inner), end) } : {}),
  };
}

/** A store over files in memory, named by path; what is put there later is there as well. */
export function memoryStore(name: string, files: ReadonlyMap<string, Uint8Array>): ByteStore {
  const now = (): ByteStore =>
    treeStore(name, new Map([...files].map(([path, bytes]) => [path, async (where) => memorySource(where, bytes)])));
  return { name, list: () => now().list(), open: (fileName) => now().open(fileName), folder: (inner) => now().folder!(inner) };
}

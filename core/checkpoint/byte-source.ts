/**
 * Where bytes come from: the only thing a checkpoint needs of the world. Disk folders are in core/host; a caller may
 * bring any other storage (a browser's file handle, HTTP ranges, memory).
 */
import { GureumError } from "../errors.ts";

/** A file of known length, read by range. */
export interface ByteSource {
  /** For messages: a file name or address. */
  readonly name: string;
  /** Bytes there are. */
  readonly byteLength: number;
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

/** `byteLength` bytes from `byteOffset` on, in a buffer of their own. */
export async function readBytes(source: ByteSource, byteOffset: number, byteLength: number): Promise<Uint8Array> {
  const target = new Uint8Array(byteLength);
  await source.readInto(byteOffset, target);
  return target;
}

/** A source over bytes in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    byteLength: bytes.length,
    async readInto(byteOffset, target) {
      if (byteOffset < 0 || byteOffset + target.length > bytes.length)
        throw new GureumError("io", {
          where: name,
          what: "read past the end",
          expected: `at most ${bytes.length} bytes`,
          got: `${byteOffset + target.length}`,
        });
      target.set(bytes.subarray(byteOffset, byteOffset + target.length));
    },
    async close() {},
  };
}

/** A store over files in memory, named by path: "folder/file" lies in `folder`. */
export function memoryStore(name: string, files: ReadonlyMap<string, Uint8Array>): ByteStore {
  return {
    name,
    async list() {
      return [...files.keys()].filter((path) => !path.includes("/"));
    },
    async open(fileName) {
      const bytes = files.get(fileName);
      if (!bytes) throw new GureumError("not-found", { where: `${name}/${fileName}`, what: "no such file" });
      return memorySource(`${name}/${fileName}`, bytes);
    },
    folder(inner) {
      const inside = [...files].filter(([path]) => path.startsWith(`${inner}/`));
      return memoryStore(`${name}/${inner}`, new Map(inside.map(([path, bytes]) => [path.slice(inner.length + 1), bytes])));
    },
  };
}

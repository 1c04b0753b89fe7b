/** A model folder as one load sees it: listed once, and each of its small files read once, whoever asks for it. */
import { wrongType } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import { type ByteSource, type ByteStore, readBytes } from "./byte-source.ts";
import { foreignFile } from "./foreign.ts";

export interface Folder extends ByteStore {
  readonly names: ReadonlySet<string>;
  /**
   * A small file whole; null where the folder has none. The bytes are everybody's: not to be changed.
   * @throws GureumError "format" for a file longer than `maxBytes` or one that is something else (foreign.ts), "io"
   */
  read(fileName: string, maxBytes: number): Promise<Uint8Array | null>;
}

/** Largest config, index or template that is read, in bytes. */
export const maxSmallBytes: number = 100_000_000;

const isFolder = (store: ByteStore): store is Folder => "names" in store && "read" in store;

/** The folder of a store; a folder as it is. @throws GureumError as `ByteStore.list` */
export async function openFolder(store: ByteStore): Promise<Folder> {
  if (typeof store?.list !== "function") throw wrongType("model", "the place", "a ByteStore", store);
  if (isFolder(store)) return store;
  const list = await store.list();
  if (!Array.isArray(list) || !list.every((name) => typeof name === "string"))
    throw wrongType("model", "what the place lists", "an array of names", list);
  const names = new Set(list);
  const files = new Map<string, Promise<Uint8Array>>();
  return {
    name: store.name,
    names,
    list: async () => [...list],
    open: (fileName) => openSource(store, fileName),
    ...(store.folder ? { folder: (name) => store.folder!(name) } : {}),
    async read(fileName, maxBytes) {
      if (!names.has(fileName)) return null;
      if (!files.has(fileName)) files.set(fileName, readFile(store, fileName, maxBytes));
      return files.get(fileName)!;
    },
  };
}

/** A small file whole. @throws GureumError "format" for one longer than `maxBytes`, "io" */
export async function readSmall(source: ByteSource, where: string, maxBytes: number = maxSmallBytes): Promise<Uint8Array> {
  if (source.byteLength > maxBytes)
    throw new GureumError("format", { where, what: "file too long", expected: `at most ${maxBytes} bytes`, got: `${source.byteLength}` });
  return readBytes(source, 0, source.byteLength);
}

/** What the store has under a name. @throws GureumError "usage" for what is no ByteSource */
async function openSource(store: ByteStore, fileName: string): Promise<ByteSource> {
  const source = await store.open(fileName);
  const { byteLength, readInto, close } = (source ?? {}) as Partial<ByteSource>;
  const isSource = typeof readInto === "function" && typeof close === "function" && Number.isSafeInteger(byteLength) && byteLength! >= 0;
  if (!isSource) throw wrongType("model", `what the place opens as ${JSON.stringify(fileName)}`, "a ByteSource", source);
  return source;
}

async function readFile(store: ByteStore, fileName: string, maxBytes: number): Promise<Uint8Array> {
  const source = await openSource(store, fileName);
  try {
    const bytes = await readSmall(source, fileName, maxBytes);
    const foreign = foreignFile(fileName, bytes, false);
    if (foreign) throw foreign;
    return bytes;
  } finally {
    await source.close();
  }
}

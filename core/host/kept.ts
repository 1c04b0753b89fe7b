/**
 * Models kept in the browser's own storage for this origin (OPFS). A file lies there in parts of fixed size, each written in one step, so that
 * a tab that dies in the middle leaves parts that are whole, and the next run goes on behind them. Beside them a list says what each file must
 * be. Source: WHATWG File System Standard, Storage Standard.
 */
import { checkOptionsObject, listening } from "../arguments.ts";
import { type ByteSource, type ByteStore, checkRange, type DownloadProgress, readBytes, treeStore } from "../checkpoint/byte-source.ts";
import { openFolder } from "../checkpoint/folder.ts";
import { companions, neededWeights, templateFolder } from "../checkpoint/needed.ts";
import { indexFile } from "../checkpoint/shards.ts";
import { GureumError, withinAsync } from "../errors.ts";
import { makeSha256, type Sha256 } from "../sha256.ts";
import { formatBytes } from "../text.ts";
import { type BlobLike, blobSource } from "./blobs.ts";
import { type KeptFolder, openRoot, type Storage, storageOf } from "./opfs.ts";

/** A file of a kept model. */
export interface KeptFile {
  /** Bytes that it has where it came from. */
  readonly byteLength: number;
  /** What told one state of the file from another where it came from: an ETag. */
  readonly version: string | null;
  /** Of its bytes as they were kept; null while they are not all there. */
  readonly sha256: string | null;
}

/** A model that is kept, or was begun to be. */
export interface KeptModel {
  /** By which it is opened and deleted. */
  readonly name: string;
  /** Whether all its files are there. */
  readonly whole: boolean;
  /** Bytes that all its files have together. */
  readonly byteLength: number;
  /** By path. */
  readonly files: Readonly<Record<string, KeptFile>>;
}

/** How a model is kept; all optional. */
export interface KeepOptions {
  /** File name → SHA-256 that its bytes must have. */
  readonly hashes?: Readonly<Record<string, string>>;
  /** Called as bytes are written. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Ends it; what is there stays, to go on from. */
  readonly signal?: { readonly aborted: boolean };
  /** Told that the browser may remove what is kept when space runs short. */
  readonly onNote?: (text: string) => void;
}

/** Bytes of a part. */
const PART = 32 * 2 ** 20;
const LIST = "gureum-kept.json";
const FORMAT = "gureum-kept-1";

const partName = (path: string, part: number): string => `${encodeURIComponent(path)}.${part}`;
const partCount = (byteLength: number): number => Math.ceil(byteLength / PART);
const partLength = (byteLength: number, part: number): number => Math.min(PART, byteLength - part * PART);

const keptOf = (name: string, files: Readonly<Record<string, KeptFile>>): KeptModel => ({
  name,
  whole: Object.values(files).every(({ sha256 }) => sha256 !== null) && Object.keys(files).length > 0,
  byteLength: Object.values(files).reduce((sum, { byteLength }) => sum + byteLength, 0),
  files,
});

/** What the list in a model's folder says; nothing where there is none, or one that is not whole. */
async function readList(folder: KeptFolder): Promise<Record<string, KeptFile>> {
  const blob = await folder.file(LIST);
  if (!blob) return {};
  try {
    const { format, files } = JSON.parse(new TextDecoder().decode(await blob.arrayBuffer())) as { format: unknown; files: unknown };
    return format === FORMAT ? (files as Record<string, KeptFile>) : {};
  } catch {
    return {};
  }
}

const writeList = (folder: KeptFolder, files: Readonly<Record<string, KeptFile>>): Promise<void> =>
  folder.write(LIST, new TextEncoder().encode(JSON.stringify({ format: FORMAT, files })));

/** The parts of a file from the first one on that are whole. */
async function wholeParts(folder: KeptFolder, path: string, byteLength: number): Promise<BlobLike[]> {
  const parts: BlobLike[] = [];
  for (let i = 0; i < partCount(byteLength); i++) {
    const blob = await folder.file(partName(path, i));
    if (blob?.size !== partLength(byteLength, i)) break;
    parts.push(blob);
  }
  return parts;
}

/** Parts one behind the other. */
function partsSource(name: string, byteLength: number, parts: readonly BlobLike[]): ByteSource {
  const sources = parts.map((blob) => blobSource(name, blob));
  const source = { name, byteLength };
  return {
    ...source,
    async readInto(byteOffset, target) {
      checkRange(source, byteOffset, target.length);
      for (let done = 0; done < target.length; ) {
        const at = byteOffset + done;
        const length = Math.min(target.length - done, PART - (at % PART));
        await sources[Math.floor(at / PART)]!.readInto(at % PART, target.subarray(done, done + length));
        done += length;
      }
    },
    async close() {},
  };
}

async function hashParts(hash: Sha256, parts: readonly BlobLike[], onBytes: (n: number) => void): Promise<void> {
  for (const part of parts) {
    hash.update(new Uint8Array(await part.arrayBuffer()));
    onBytes(part.size);
  }
}

async function dropParts(folder: KeptFolder, path: string, from = 0): Promise<void> {
  for (let i = from; await folder.file(partName(path, i)); i++) await folder.remove(partName(path, i));
}

const cut = (name: string): GureumError =>
  new GureumError("aborted", { where: name, what: "was stopped", remedy: "keep it again to go on from there" });

/** Brings one file: what is there of it is taken as its beginning, unless its hash says that it is none. */
async function keepFile(
  folder: KeptFolder,
  path: string,
  source: ByteSource,
  wanted: string | undefined,
  onBytes: (n: number) => void,
  checkStop: () => void,
): Promise<string> {
  const { byteLength } = source;
  for (let first = true; ; first = false) {
    const begun = await wholeParts(folder, path, byteLength);
    await dropParts(folder, path, begun.length);
    const hash = makeSha256();
    let done = 0;
    const count = (n: number): void => {
      done += n;
      onBytes(n);
    };
    await hashParts(hash, begun, count);
    for (let i = begun.length; i < partCount(byteLength); i++) {
      checkStop();
      const bytes = await readBytes(source, i * PART, partLength(byteLength, i));
      await folder.write(partName(path, i), bytes);
      hash.update(bytes);
      count(bytes.length);
    }
    const got = hash.digest();
    if (wanted === undefined || got === wanted.toLowerCase()) return got;
    await dropParts(folder, path);
    // A beginning from an earlier run may be another file's: then all of it is asked for once more.
    if (begun.length > 0 && first) {
      onBytes(-done);
      continue;
    }
    throw new GureumError("network", {
      where: source.name,
      what: "what came does not have the SHA-256 that was given, and was thrown away",
      expected: wanted,
      got,
      remedy: "keep it again; if it stays so, the file is another one, or is changed on its way",
    });
  }
}

/** The files of a model that the engine reads, by path. */
async function neededPaths(store: ByteStore): Promise<string[]> {
  const folder = await openFolder(store);
  const weights = await neededWeights(folder);
  const small = [...folder.names].filter((name) => companions.has(name) || (name === indexFile && weights.length > 1));
  const templates =
    folder.folder &&
    (await folder
      .folder(templateFolder)
      .list()
      .catch(() => []));
  return [...small, ...(templates ?? []).filter((name) => name.endsWith(".jinja")).map((name) => `${templateFolder}/${name}`), ...weights];
}

const openPath = (store: ByteStore, path: string): Promise<ByteSource> => {
  const [inner, name] = path.split("/");
  return name === undefined ? store.open(path) : store.folder!(inner!).open(name);
};

async function checkSpace(storage: Storage, name: string, byteLength: number): Promise<void> {
  const free = await storage.free();
  if (free !== null && free < byteLength)
    throw new GureumError("disk-full", {
      where: name,
      what: "the browser gives this page too little storage",
      expected: formatBytes(byteLength),
      got: `${formatBytes(free)} free`,
      remedy: "delete a model that is kept, or free space on the disk",
    });
}

/**
 * Keeps a model of any storage (`urlStore`, say) in the browser under a name, and gives it from there. The same call again goes on where it
 * was cut, and brings anew what has changed.
 * @throws GureumError "disk-full", "access" where the browser gives no storage, "aborted", and what the store throws
 */
export async function keepModel(name: string, store: ByteStore, options: KeepOptions = {}): Promise<ByteStore> {
  checkOptionsObject("keepModel", options, { hashes: true, onProgress: true, signal: true, onNote: true });
  return listening(options, ["onProgress", "onNote"], (heard) => keep(name, store, heard));
}

async function keep(name: string, store: ByteStore, options: KeepOptions): Promise<ByteStore> {
  const { hashes = {}, onProgress, signal, onNote } = options;
  const storage = storageOf();
  const checkStop = (): void => {
    if (signal?.aborted) throw cut(name);
  };
  await storage.alone(name, async () => {
    const folder = await (await openRoot(storage)).folder(encodeURIComponent(name), true);
    const paths = await neededPaths(store);
    const sources: { path: string; source: ByteSource }[] = [];
    try {
      for (const path of paths) sources.push({ path, source: await openPath(store, path) });
      const before = await readList(folder!);
      const files: Record<string, KeptFile> = {};
      const bytesTotal = sources.reduce((sum, { source }) => sum + source.byteLength, 0);
      let bytesDone = 0;
      let there = 0;
      for (const { path, source } of sources) {
        const { byteLength, version = null } = source;
        const old = before[path];
        // What neither a hash nor a version holds together may be another file of the same length.
        const known = hashes[path] !== undefined || (version !== null && old?.version === version);
        const same = old?.byteLength === byteLength && known;
        const hashHolds = hashes[path] === undefined || old?.sha256 === null || old?.sha256 === hashes[path]?.toLowerCase();
        if (old && !(same && hashHolds)) await dropParts(folder!, path);
        files[path] = { byteLength, version, sha256: same && hashHolds ? old.sha256 : null };
        for (const { size } of await wholeParts(folder!, path, byteLength)) there += size;
      }
      for (const path of Object.keys(before)) if (!files[path]) await dropParts(folder!, path);
      await writeList(folder!, files);
      await checkSpace(storage, name, bytesTotal - there);
      if (!(await storage.persist()))
        onNote?.(`${name}: the browser may remove what is kept when space runs short (it did not grant this page persistent storage)`);
      for (const { path, source } of sources) {
        checkStop();
        const onBytes = (n: number): void => {
          bytesDone += n;
          onProgress?.({ fileName: path, bytesDone, bytesTotal });
        };
        const whole = (await wholeParts(folder!, path, source.byteLength)).length === partCount(source.byteLength);
        if (files[path]!.sha256 !== null && whole) {
          onBytes(source.byteLength);
          continue;
        }
        const sha256 = await withinAsync(name, () => keepFile(folder!, path, source, hashes[path], onBytes, checkStop));
        files[path] = { ...files[path]!, sha256 };
        await writeList(folder!, files);
      }
    } finally {
      for (const { source } of sources) await source.close();
    }
  });
  return openKept(name);
}

/** The folder of a kept model and its list. @throws GureumError "not-found" */
async function findKept(name: string): Promise<{ folder: KeptFolder; model: KeptModel }> {
  const folder = await (await openRoot(storageOf())).folder(encodeURIComponent(name), false);
  if (!folder) throw new GureumError("not-found", { where: name, what: "no model of this name is kept", remedy: "keep it first" });
  return { folder, model: keptOf(name, await readList(folder)) };
}

/**
 * A kept model as a place for `loadModel`; sizes are checked here, hashes were when it was kept (`verifyKept` checks them again).
 * @throws GureumError "not-found" where none of this name is kept or it is not whole, "io" where a part went missing
 */
export async function openKept(name: string): Promise<ByteStore> {
  const { folder, model } = await findKept(name);
  if (!model.whole)
    throw new GureumError("not-found", {
      where: name,
      what: "the model is not all there",
      remedy: "keep it again to go on where it was cut",
    });
  const opened = new Map<string, (where: string) => Promise<ByteSource>>();
  for (const [path, { byteLength }] of Object.entries(model.files)) {
    const parts = await wholeParts(folder, path, byteLength);
    if (parts.length !== partCount(byteLength))
      throw new GureumError("io", {
        where: `${name}/${path}`,
        what: "a part of the kept file is missing or cut",
        remedy: "keep the model again",
      });
    opened.set(path, async (where) => partsSource(where, byteLength, parts));
  }
  return treeStore(name, opened);
}

/**
 * Reads a kept model's bytes again and compares their hashes.
 * @throws GureumError "not-found", "io" naming the file that changed
 */
export async function verifyKept(name: string, onProgress?: (bytesDone: number, bytesTotal: number) => void): Promise<KeptModel> {
  return listening({ onProgress }, ["onProgress"], (heard) => verify(name, heard.onProgress));
}

async function verify(name: string, onProgress?: (bytesDone: number, bytesTotal: number) => void): Promise<KeptModel> {
  const { folder, model } = await findKept(name);
  let done = 0;
  for (const [path, { byteLength, sha256 }] of Object.entries(model.files)) {
    const hash = makeSha256();
    await hashParts(hash, await wholeParts(folder, path, byteLength), (n) => {
      done += n;
      onProgress?.(done, model.byteLength);
    });
    const got = hash.digest();
    if (sha256 !== null && got !== sha256)
      throw new GureumError("io", {
        where: `${name}/${path}`,
        what: "the kept bytes changed",
        expected: sha256,
        got,
        remedy: "delete the model and keep it again",
      });
  }
  return model;
}

/** Every model that is kept or was begun to be. @throws GureumError "access" where the browser gives no storage */
export async function listKept(): Promise<KeptModel[]> {
  const root = await openRoot(storageOf());
  const models: KeptModel[] = [];
  for (const folderName of await root.folders()) {
    const folder = await root.folder(folderName, false);
    if (folder) models.push(keptOf(decodeURIComponent(folderName), await readList(folder)));
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Removes a kept model; one that is not there is no error. @throws GureumError "access", "io" */
export async function deleteKept(name: string): Promise<void> {
  const storage = storageOf();
  await storage.alone(name, async () => (await openRoot(storage)).remove(encodeURIComponent(name)));
}

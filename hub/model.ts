/** A model by its name: the folder in the cache that holds it, with what is missing downloaded. */
import process from "node:process";
import type { ByteStore, DownloadProgress } from "../core/checkpoint/byte-source.ts";
import { isCompanion, neededWeights, singleFile } from "../core/checkpoint/needed.ts";
import { GureumError } from "../core/errors.ts";
import { withLock } from "../core/host/lock.ts";
import { directoryStore, fileSource } from "../core/host/node.ts";
import type { Patience } from "../core/host/web-ask.ts";
import { checkFreeSpace } from "../core/host/write.ts";
import { type CacheFolder, cachedCommit, cacheFolder, keepBlob, keepCommit, point, sizeOf, snapshotNames } from "./cache.ts";
import type { ModelName } from "./name.ts";
import { openRepository, type Repository, remoteSource } from "./repository.ts";
import { type Environment, type Settings, settingsOf } from "./settings.ts";
import { type RemoteFile, transfer } from "./transfer.ts";

/** How models are brought from the hub. */
export interface HubOptions {
  /** Called as bytes come. */
  readonly onDownload?: (progress: DownloadProgress) => void;
  /** Told what a person may want to know: another process downloads, the hub was not reached. */
  readonly onNote?: (text: string) => void;
  /** Instead of the process's own. */
  readonly environment?: Environment;
  /** How long a bad connection is borne. */
  readonly patience?: Partial<Patience>;
}

/** Files downloaded at a time. */
const AT_ONCE = 4;

interface Place {
  readonly name: ModelName;
  readonly settings: Settings;
  readonly folder: CacheFolder;
  readonly options: HubOptions;
}

async function placeOf(name: ModelName, options: HubOptions): Promise<Place> {
  const settings = await settingsOf(options.environment ?? process.env, options.patience);
  return { name, settings, folder: cacheFolder(settings.cache, name), options };
}

/** A commit's files as they lie in the cache. */
const snapshotStore = (folder: CacheFolder, commit: string): ByteStore => directoryStore(folder.snapshot(commit));

/**
 * What the cache holds without asking: a commit with its config and, where they are wanted, all its weights.
 * @throws GureumError "not-found", with `why` the hub is not asked
 */
async function cachedSnapshot({ name, folder, settings }: Place, part: "all" | "text", why: string): Promise<string> {
  const missing = (what: string): GureumError =>
    new GureumError("not-found", {
      where: name.text,
      what: `${what} in ${settings.cache}, and ${why}`,
      remedy: "download it while the hub can be reached",
    });
  const commit = await cachedCommit(folder, name.revision);
  const names = commit === null ? null : await snapshotNames(folder, commit);
  if (commit === null || !names) throw missing("not");
  const wanted = part === "text" ? [] : ["config.json", ...(await neededWeights(snapshotStore(folder, commit)))];
  for (const path of wanted) if ((await sizeOf(folder.pointer(commit, path))) === null) throw missing(`${path} of commit ${commit} is not`);
  return folder.snapshot(commit);
}

/** Looks the model up, unless offline; null where the cache is to serve, with the reason. */
async function lookUp(place: Place): Promise<Repository | string> {
  const { name, settings, folder } = place;
  if (settings.offline) return "HF_HUB_OFFLINE is set";
  try {
    return await openRepository(name, settings);
  } catch (error) {
    if (!(error instanceof GureumError && error.code === "network")) throw error;
    const { what, got, remedy } = error.details;
    // A hub that cannot be reached is no reason to stop where the model was downloaded before.
    if ((await cachedCommit(folder, name.revision)) !== null) return `${what}${got === undefined ? "" : ` (${got})`}`;
    const named = { where: name.text, what: `no such folder on this disk, and ${what}` };
    throw new GureumError(
      "network",
      { ...named, ...(got === undefined ? {} : { got }), ...(remedy === undefined ? {} : { remedy }) },
      error,
    );
  }
}

/** Downloads what the cache lacks of `files`, some at a time, and lets the snapshot point to them. */
async function complete(place: Place, repository: Repository, files: readonly RemoteFile[]): Promise<void> {
  const { name, settings, folder, options } = place;
  const { commit } = repository;
  const unlinked: RemoteFile[] = [];
  for (const file of files) if ((await sizeOf(folder.pointer(commit, file.path))) !== file.byteLength) unlinked.push(file);
  // Files with the same bytes are one blob.
  const blobs = [...new Map(unlinked.map((file) => [file.etag, file])).values()];
  const lacking: RemoteFile[] = [];
  for (const file of blobs) if ((await sizeOf(folder.blob(file.etag))) !== file.byteLength) lacking.push(file);
  const bytesTotal = lacking.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let bytesDone = 0;
  for (const { etag, byteLength } of lacking) bytesDone += Math.min(byteLength, (await sizeOf(folder.partial(etag))) ?? 0);
  await checkFreeSpace(settings.cache, bytesTotal - bytesDone);
  const stop = new AbortController();
  const fetchOne = async (file: RemoteFile): Promise<void> => {
    const { path, etag, byteLength } = file;
    const isLacking = lacking.includes(file);
    const had = Math.min(byteLength, (await sizeOf(folder.partial(etag))) ?? 0);
    let arrived = 0;
    const tell = (bytes: number): void => {
      arrived += bytes;
      bytesDone += bytes;
      try {
        options.onDownload?.({ fileName: path, bytesDone, bytesTotal });
      } catch (error) {
        stop.abort(error); // no cut connection, to be tried again
        throw error;
      }
    };
    const onWait = (): void => options.onNote?.(`${name.text}: another process downloads ${path}; waiting for it`);
    await withLock(folder.lock(etag), onWait, async () => {
      if ((await sizeOf(folder.blob(etag))) !== byteLength) {
        await transfer(name.text, file, folder.partial(etag), repository.read(file), settings.patience, tell, stop.signal);
        await keepBlob(folder, etag);
      }
      if (isLacking) tell(byteLength - had - arrived);
    });
    for (const one of unlinked) if (one.etag === etag) await point(folder, commit, one.path, etag);
  };
  // Those that are there go through their lock too: a process that was killed behind its last byte left it.
  const queue = [...blobs];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file && !stop.signal.aborted; file = queue.shift())
      await fetchOne(file).catch((error: unknown) => stop.abort(error));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (stop.signal.aborted) throw stop.signal.reason;
}

/** A repository as a folder: small files come to the cache when they are opened, others are read from there or by ranges. */
function repositoryStore(place: Place, repository: Repository, under = ""): ByteStore {
  const { name, folder } = place;
  const { commit, files } = repository;
  const inside = [...files.keys()].filter((path) => path.startsWith(under)).map((path) => path.slice(under.length));
  return {
    name: `${name.text}${under && `/${under.slice(0, -1)}`}`,
    list: async () => inside.filter((path) => !path.includes("/")),
    async open(fileName) {
      const file = files.get(`${under}${fileName}`);
      if (!file) throw new GureumError("not-found", { where: `${name.text}/${under}${fileName}`, what: "no such file on the hub" });
      if (isCompanion(file.path, false)) await complete(place, repository, [file]);
      const pointer = folder.pointer(commit, file.path);
      return (await sizeOf(pointer)) === file.byteLength ? fileSource(pointer) : remoteSource(name.text, repository, file);
    },
    folder: (inner) => repositoryStore(place, repository, `${under}${inner}/`),
  };
}

/** The files that one call needs, the index first of all: it names the shards. */
async function neededFiles(place: Place, repository: Repository, part: "all" | "text"): Promise<RemoteFile[]> {
  const { files } = repository;
  const companions = [...files.values()].filter(({ path }) => isCompanion(path, files.has(singleFile)));
  if (part === "text") return companions;
  const store = repositoryStore(place, repository);
  const weights = (await neededWeights(store)).map((path) => {
    const file = files.get(path);
    if (file) return file;
    throw new GureumError("not-found", { where: place.name.text, what: `the hub has no ${path}, which the model's index lists` });
  });
  return [...companions, ...weights];
}

/**
 * The path of the folder that holds a model of the hub, downloaded as far as it is not in the cache yet: config, tokenizer and templates and,
 * for `part` "all", the shards that hold its weights.
 * @throws GureumError "not-found", "access", "network", "disk-full", "io", "format"
 */
export async function modelFolder(name: ModelName, part: "all" | "text", options: HubOptions = {}): Promise<string> {
  const place = await placeOf(name, options);
  const repository = await lookUp(place);
  if (typeof repository === "string") return fromCache(place, part, repository);
  await complete(place, repository, await neededFiles(place, repository, part));
  await keepCommit(place.folder, name.revision, repository.commit);
  return place.folder.snapshot(repository.commit);
}

/** A model of the hub to look at: small files are downloaded, of the weights only what is read. @throws GureumError as `modelFolder` */
export async function modelStore(name: ModelName, options: HubOptions = {}): Promise<ByteStore> {
  const place = await placeOf(name, options);
  const repository = await lookUp(place);
  return typeof repository === "string" ? directoryStore(await fromCache(place, "text", repository)) : repositoryStore(place, repository);
}

async function fromCache(place: Place, part: "all" | "text", why: string): Promise<string> {
  const path = await cachedSnapshot(place, part, why);
  if (!place.settings.offline) place.options.onNote?.(`${place.name.text} as it was downloaded before, since ${why}`);
  return path;
}

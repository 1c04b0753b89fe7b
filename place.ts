/** Where models come from: a folder on disk, a name on the hub, or a store of the caller's. */
import { wrongType } from "./core/arguments.ts";
import type { ByteStore } from "./core/checkpoint/byte-source.ts";
import { directoryStore, exists } from "./core/host/node.ts";
import { type HubOptions, modelFolder, modelStore } from "./hub/model.ts";
import { type ModelName, parseModelName } from "./hub/name.ts";

/**
 * Where a model comes from: a folder's path, a name on the hub ("org/name", "org/name@revision"), or any storage. A text that is both, a
 * folder on disk and a name, is the folder.
 */
export type ModelPlace = string | ByteStore;

/** The name that a place is; null for a path, also one that reads like a name. @throws GureumError "usage" */
async function nameOf(place: string): Promise<ModelName | null> {
  const name = parseModelName(place);
  return name && !(await exists(place)) ? name : null;
}

/**
 * The folder of a model: the path itself, or, for a name, the folder of the cache that Python's huggingface_hub shares, where what is
 * missing is downloaded. `part`: "text" leaves the weights out.
 * @throws GureumError "not-found", "access", "network", "disk-full", "io"
 */
export async function findModel(place: string, { part = "all", ...options }: FindOptions = {}): Promise<string> {
  const name = await nameOf(place);
  return name ? modelFolder(name, part, options) : place;
}

/** Which parts of a model are brought. */
export interface FindOptions extends HubOptions {
  /** Everything, or what a tokenizer needs alone. */
  readonly part?: "all" | "text";
}

/** @throws GureumError "usage" for what is neither a path nor a store */
function checkedStore(place: ByteStore): ByteStore {
  if (typeof place?.list === "function" && typeof place.open === "function") return place;
  throw wrongType("model", "the place", "the path of a folder, a name, or a ByteStore", place);
}

/** A model's folder, of whatever names it. @throws GureumError as `findModel` */
export const storeOf = async (place: ModelPlace, options?: FindOptions): Promise<ByteStore> =>
  typeof place === "string" ? directoryStore(await findModel(place, options)) : checkedStore(place);

/** A model to look into: of one by name, only small files and what is read of the others is fetched. @throws GureumError as `findModel` */
export async function openModelStore(place: string, options: HubOptions = {}): Promise<ByteStore> {
  const name = await nameOf(place);
  return name ? modelStore(name, options) : directoryStore(place);
}

/** For a look at parts: of a model by name, only those are fetched. */
export const viewOf = async (place: ModelPlace): Promise<ByteStore> =>
  typeof place === "string" ? openModelStore(place) : checkedStore(place);

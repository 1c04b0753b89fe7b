/** Where models come from: a folder on disk, a name on the hub, or a store of the caller's. */
import { host } from "#host";
import { checkCallback, checkOptionsObject, checkText, hear, listening, wrongType } from "./core/arguments.ts";
import { type ByteStore, heardStore } from "./core/checkpoint/byte-source.ts";
import { urlStore } from "./core/host/url-store.ts";
import type { FindOptions } from "./host/host.ts";
import type { HubOptions } from "./hub/model.ts";

export type { FindOptions } from "./host/host.ts";

/**
 * Where a model comes from: a folder's path, a name on the hub ("org/name", "org/name@revision"), an address ("https://…/folder"), or any
 * storage. A text that is both, a folder on disk and a name, is the folder. In a browser a text is an address, also one relative to the page.
 */
export type ModelPlace = string | ByteStore;

/**
 * The folder of a model: the path itself, or, for a name, the folder of the cache that Python's huggingface_hub shares, where what is
 * missing is downloaded. `part`: "text" leaves the weights out.
 * @throws GureumError "not-found", "access", "network", "disk-full", "io"
 */
export async function findModel(place: string, options: FindOptions = {}): Promise<string> {
  checkText("findModel", "place", place);
  checkOptionsObject("findModel", options);
  for (const what of ["onNote", "onDownload"] as const) checkCallback("findModel", what, options[what]);
  return listening(options, ["onDownload", "onNote"], (heard) => host.models.find(place, heard));
}

const isAddress = (place: string): boolean => /^https?:\/\//i.test(place);

/** @throws GureumError "usage" for what is neither a path nor a store */
function checkedStore(place: ByteStore): ByteStore {
  if (typeof place?.list === "function" && typeof place.open === "function") return place;
  throw wrongType("model", "the place", "the path of a folder, a name, or a ByteStore", place);
}

/** A model's folder, of whatever names it. @throws GureumError as `findModel` */
export const storeOf = async (place: ModelPlace, options?: FindOptions): Promise<ByteStore> =>
  typeof place !== "string" ? checkedStore(place) : isAddress(place) ? urlStore(place, options) : host.models.open(place, options);

/** A model to look into: of one by name, only small files and what is read of the others is fetched. @throws GureumError as `findModel` */
export async function openModelStore(place: string, options: HubOptions = {}): Promise<ByteStore> {
  checkText("openModelStore", "place", place);
  checkOptionsObject("openModelStore", options);
  for (const what of ["onNote", "onDownload"] as const) checkCallback("openModelStore", what, options[what]);
  if (isAddress(place)) return urlStore(place, options);
  const { heard, end } = hear(options, ["onNote", "onDownload"]);
  return heardStore(await end(host.models.view(place, heard)), end);
}

/** For a look at parts: of a model by name, only those are fetched. */
export const viewOf = async (place: ModelPlace): Promise<ByteStore> =>
  typeof place === "string" ? openModelStore(place) : checkedStore(place);

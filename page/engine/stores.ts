/** The files of a place, as the engine reads them; and models that were kept in the browser. */
import type { ByteStore } from "../../core/checkpoint/byte-source.ts";
import { deleteKept, keepModel, listKept, urlStore } from "../../index.ts";
import { placeOf } from "../../worker/place.ts";
import type { Loading, Place, Work } from "./protocol.ts";
import { sentPlace } from "./sent-place.ts";

/** @throws GureumError "not-found", "access", "network", "disk-full", "io" */
export async function storeOf(place: Place, tell: (news: Loading) => void): Promise<ByteStore> {
  if (place.kind !== "address" || !place.keep) return placeOf(sentPlace(place), tell);
  return keepModel(place.name, urlStore(place.address), {
    onProgress: ({ bytesDone, bytesTotal }) => tell({ step: "download", done: bytesDone, total: bytesTotal }),
  });
}

/** The models that are kept whole. A browser that keeps nothing has none. */
export const kept: Work<"kept"> = async () => {
  const all = await listKept().catch(() => []);
  return all.filter(({ whole }) => whole).map(({ name, byteLength }) => ({ name, byteLength }));
};

export const forget: Work<"forget"> = async (name) => {
  await deleteKept(name);
  return null;
};

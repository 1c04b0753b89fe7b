/** A place as it was sent, as `loadModel` takes it. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { fileStore } from "../core/host/file-store.ts";
import { openKept } from "../core/host/kept.ts";
import { urlStore } from "../core/host/url-store.ts";
import { storeOf } from "../place.ts";
import type { LoadNews, SentPlace } from "./calls.ts";

/** @throws GureumError as the store's own function */
export async function placeOf(
  place: SentPlace,
  tell: (news: LoadNews) => void,
  onNote: (text: string) => void = () => {},
): Promise<ByteStore> {
  const told = {
    onNote,
    onDownload: ({ bytesDone, bytesTotal }: { bytesDone: number; bytesTotal: number }) =>
      tell({ step: "download", done: bytesDone, total: bytesTotal }),
  };
  if (typeof place === "string") return storeOf(place, told);
  if ("kept" in place) return openKept(place.kept);
  if (!("address" in place)) return fileStore(place);
  const { address, ...options } = place;
  return urlStore(address, { ...options, ...told });
}

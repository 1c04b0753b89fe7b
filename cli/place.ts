/** The model that a word names: a folder, a name on the hub, or the small one that comes with gureum. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { embeddedModel, findModel, type HubOptions, openModelStore } from "../index.ts";
import { downloadBar } from "./progress.ts";
import { note } from "./terminal.ts";

/** What a download says: a bar, and notes. */
export const talk = (): HubOptions => ({ onDownload: downloadBar(), onNote: (text) => note(`note: ${text}`) });

/** Found in this process: a name is looked up once, so that a command reads one commit however often it asks. */
const found = new Map<string, Promise<string>>();

/** The model's folder, downloaded where it has to be. @param part "text" for what needs no weights */
export function modelPlace(word: string | undefined, part: "all" | "text" = "all"): Promise<string> {
  if (word === undefined) return Promise.resolve(embeddedModel());
  const key = `${part} ${word}`;
  const place = found.get(key) ?? findModel(word, { part, ...talk() });
  found.set(key, place);
  return place;
}

/** The model to look into; weights of one by name are not downloaded. */
export const modelLook = (word: string | undefined): Promise<ByteStore> => openModelStore(word ?? embeddedModel(), talk());

/** The model that a word names: a folder, a name on the hub, or the small one that comes with gureum. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { embeddedModel, findModel, type HubOptions, openModelStore } from "../index.ts";
import { downloadBar } from "./progress.ts";
import { note } from "./terminal.ts";

/** What a download says: a bar, and notes. */
export const talk = (): HubOptions => ({ onDownload: downloadBar(), onNote: (text) => note(`note: ${text}`) });

/** The model's folder, downloaded where it has to be. @param part "text" for what needs no weights */
export const modelPlace = async (word: string | undefined, part: "all" | "text" = "all"): Promise<string> =>
  word === undefined ? embeddedModel() : findModel(word, { part, ...talk() });

/** The model to look into; weights of one by name are not downloaded. */
export const modelLook = (word: string | undefined): Promise<ByteStore> => openModelStore(word ?? embeddedModel(), talk());

/** The worker's one model: loading it, and its answers. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { openFolder } from "../core/checkpoint/folder.ts";
import { GureumError } from "../core/errors.ts";
import { contextLimit } from "../core/generate/generate.ts";
import { type Chat, type Conversation, type LoadedModel, loadModel, openChat } from "../index.ts";
import { breathe } from "./breathe.ts";
import type { EngineCalls } from "./calls.ts";
import { placeOf } from "./place.ts";
import type { Works } from "./port.ts";

interface Ready {
  readonly model: LoadedModel;
  /** Feeds of each prompt only what the one before it has not. */
  readonly conversation: Conversation;
  /** Why there is none, where there is none. */
  readonly chat: Chat | GureumError;
}

/** The folder's chat, or why there is none. */
async function withTemplate(folder: ByteStore): Promise<Chat | GureumError> {
  try {
    const chat = await openChat(folder);
    chat.checkTemplate();
    return chat;
  } catch (error) {
    if (error instanceof GureumError) return error;
    throw error;
  }
}

/** Calls about a model, which the worker holds until the next is loaded. */
export function modelWorks(): Works<Pick<EngineCalls, "load" | "generate" | "render" | "encode">> {
  let ready: Ready | undefined;
  const close = (): void => {
    const old = ready;
    ready = undefined;
    try {
      old?.conversation.dispose();
      old?.model.dispose();
    } catch {
      // A device that is lost has freed it.
    }
  };
  const needed = (): Ready => {
    if (ready) return ready;
    throw new GureumError("usage", { where: "worker", what: "no model is loaded", remedy: "load one" });
  };
  return {
    async load({ place, options }, tell) {
      close();
      const notes: string[] = [];
      const folder = await openFolder(await placeOf(place, tell, (text) => notes.push(text)));
      const model = await loadModel(folder, { ...options, onProgress: (done, total) => tell({ step: "weights", done, total }) });
      const chat = await withTemplate(folder);
      ready = { model, conversation: model.createConversation(), chat };
      return {
        backend: model.backend,
        backendReason: model.backendReason,
        loadMs: model.loadMs,
        notes: [...notes, ...model.notes],
        context: contextLimit(model.config),
        vocabSize: model.config.vocabSize,
        samplingDefaults: model.samplingDefaults,
        noChat: chat instanceof GureumError ? chat.message : null,
      };
    },
    async generate({ input, options }, tell, signal) {
      const { conversation } = needed();
      const run = conversation.generate(input, { ...options, signal, onPrefill: breathe });
      for (;;) {
        const { value, done } = await run.next();
        if (done) return value;
        tell(value);
        await breathe();
      }
    },
    async render({ messages, options }) {
      const { chat } = needed();
      if (chat instanceof GureumError) throw chat;
      return chat.render(messages, options);
    },
    encode: async (input) => needed().model.encodePrompt(input),
  };
}

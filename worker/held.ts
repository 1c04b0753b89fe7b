/** The one model that a worker holds, with its conversation, until the next one is loaded. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { openFolder } from "../core/checkpoint/folder.ts";
import { GureumError } from "../core/errors.ts";
import type { GenerateResult, TokenEvent } from "../core/generate/generate.ts";
import {
  type Chat,
  type Conversation,
  type GenerateInput,
  type GenerateOptions,
  type LoadedModel,
  type LoadOptions,
  loadModel,
  openChat,
} from "../index.ts";
import { breathe } from "./breathe.ts";

export interface Held {
  readonly model: LoadedModel;
  /** Feeds of each prompt only what the one before it has not. */
  readonly conversation: Conversation;
  /** Why there is none, where there is none. */
  readonly chat: Chat | GureumError;
}

export interface Holder {
  /** Frees the model that is held, also one on a device that is lost, and loads that of the folder that `open` gives. */
  load(open: () => Promise<ByteStore>, options: LoadOptions): Promise<Held>;
  /** @throws GureumError "usage" where no model is loaded */
  held(): Held;
  /** @throws GureumError "usage" where no model is loaded; why it has no chat, where it has none */
  chat(): Chat;
  /** Continues the input; messages come in between two tokens. @throws as `held`, and what `generate` throws */
  answer(input: GenerateInput, options: GenerateOptions, onToken: (token: TokenEvent) => void): Promise<GenerateResult>;
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

export function makeHolder(): Holder {
  let one: Held | undefined;
  const free = (): void => {
    const old = one;
    one = undefined;
    try {
      old?.conversation.dispose();
      old?.model.dispose();
    } catch {
      // A device that is lost has freed it.
    }
  };
  const held = (): Held => {
    if (one) return one;
    throw new GureumError("usage", { where: "worker", what: "no model is loaded", remedy: "load one" });
  };
  return {
    async load(open, options) {
      free();
      const folder = await openFolder(await open());
      const model = await loadModel(folder, options);
      const chat = await withTemplate(folder);
      one = { model, conversation: model.createConversation(), chat };
      return one;
    },
    held,
    chat() {
      const { chat } = held();
      if (chat instanceof GureumError) throw chat;
      return chat;
    },
    async answer(input, options, onToken) {
      const run = held().conversation.generate(input, { ...options, onPrefill: breathe });
      for (;;) {
        const { value, done } = await run.next();
        if (done) return value;
        onToken(value);
        await breathe();
      }
    },
  };
}

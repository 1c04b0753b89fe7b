/** A model in the worker: loading it, and the answers of a conversation. */
import type { ChatMessage } from "../../chat.ts";
import { openFolder } from "../../core/checkpoint/folder.ts";
import { GureumError } from "../../core/errors.ts";
import { contextLimit } from "../../core/generate/generate.ts";
import { type Chat, type Conversation, type LoadedModel, loadModel, openChat } from "../../index.ts";
import { breathe } from "../../worker/breathe.ts";
import type { Work } from "./protocol.ts";
import { storeOf } from "./stores.ts";

interface Ready {
  readonly model: LoadedModel;
  readonly conversation: Conversation;
  readonly chat: Chat | null;
}
let ready: Ready | undefined;

/** Frees the model, also one on a device that is lost. */
function close(): void {
  const old = ready;
  ready = undefined;
  try {
    old?.conversation.dispose();
    old?.model.dispose();
  } catch {
    // What is lost needs no freeing.
  }
}

const needModel = (): Ready => {
  if (!ready) throw new GureumError("usage", { where: "chat", what: "no model is loaded", remedy: "load one" });
  return ready;
};

/** Text that no template holds. */
const MARK = "@gureum-system-prompt@";
const user: ChatMessage = { role: "user", content: "?" };

/**
 * The system prompt that a template takes by itself: what stands in its prompt where a given one would. null where the two prompts
 * differ elsewhere too, or the template refuses one of them.
 */
function ownSystem(chat: Chat): string | null {
  try {
    const given = chat.render([{ role: "system", content: MARK }, user]);
    const own = chat.render([user]);
    const at = given.indexOf(MARK);
    const [before, after] = [given.slice(0, at), given.slice(at + MARK.length)];
    if (at < 0 || own.length < before.length + after.length || !own.startsWith(before) || !own.endsWith(after)) return null;
    return own.slice(before.length, own.length - after.length);
  } catch {
    return null;
  }
}

export const load: Work<"load"> = async ({ place, backend }, tell) => {
  close();
  const folder = await openFolder(await storeOf(place, tell));
  let weightBytes = 0;
  const model = await loadModel(folder, {
    backend,
    onProgress(done, total) {
      weightBytes = total;
      tell({ step: "weights", done, total });
    },
  });
  let chat: Chat | null = null;
  let noChat: string | null = null;
  try {
    chat = await openChat(folder);
    chat.checkTemplate();
  } catch (error) {
    if (!(error instanceof GureumError)) throw error;
    noChat = error.message;
    chat = null;
  }
  ready = { model, conversation: model.createConversation(), chat };
  return {
    backend: model.backend,
    reason: model.backendReason,
    loadMs: model.loadMs,
    notes: model.notes,
    weightBytes,
    context: contextLimit(model.config),
    sampling: model.samplingDefaults,
    noChat,
    system: chat && ownSystem(chat),
  };
};

export const answer: Work<"answer"> = async ({ messages, maxNewTokens, sampling }, tell, signal) => {
  const { model, conversation } = needModel();
  const input = { messages };
  const promptTokens = model.encodePrompt(input).length;
  const began = performance.now();
  let first = 0;
  let tokens = 0;
  let speed = 0;
  const run = conversation.generate(input, { maxNewTokens, ...sampling, signal, onPrefill: breathe });
  for (;;) {
    const { value, done } = await run.next();
    if (done) return { finish: value.finishReason, promptTokens, tokens, tokensPerSecond: speed, firstMs: first - began };
    const now = performance.now();
    if (tokens++ === 0) first = now;
    else speed = (1000 * (tokens - 1)) / (now - first);
    tell({ text: value.text, tokens, tokensPerSecond: speed, firstMs: first - began });
    await breathe();
  }
};

export const render: Work<"render"> = async (messages) => {
  const { chat } = needModel();
  if (!chat) throw new GureumError("not-found", { where: "chat", what: "the model has no chat template" });
  return chat.render(messages as readonly ChatMessage[]);
};

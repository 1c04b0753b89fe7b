/** A model in the worker: loading it, and the answers of a conversation. */
import type { ChatMessage } from "../../chat.ts";
import { GureumError } from "../../core/errors.ts";
import { contextLimit } from "../../core/generate/generate.ts";
import type { Chat } from "../../index.ts";
import { makeHolder } from "../../worker/held.ts";
import type { Work } from "./protocol.ts";
import { storeOf } from "./stores.ts";

const holder = makeHolder();

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
  let weightBytes = 0;
  const { model, chat } = await holder.load(() => storeOf(place, tell), {
    backend,
    onProgress(done, total) {
      weightBytes = total;
      tell({ step: "weights", done, total });
    },
  });
  const refused = chat instanceof GureumError;
  return {
    backend: model.backend,
    reason: model.backendReason,
    loadMs: model.loadMs,
    notes: model.notes,
    weightBytes,
    context: contextLimit(model.config),
    sampling: model.samplingDefaults,
    noChat: refused ? chat.message : null,
    system: refused ? null : ownSystem(chat),
  };
};

export const answer: Work<"answer"> = async ({ messages, maxNewTokens, sampling }, tell, signal) => {
  const input = { messages };
  const promptTokens = holder.held().model.encodePrompt(input).length;
  const began = performance.now();
  let [first, tokens, speed] = [0, 0, 0];
  const { finishReason } = await holder.answer(input, { maxNewTokens, ...sampling, signal }, ({ text }) => {
    const now = performance.now();
    if (tokens++ === 0) first = now;
    else speed = (1000 * (tokens - 1)) / (now - first);
    tell({ text, tokens, tokensPerSecond: speed, firstMs: first - began });
  });
  return { finish: finishReason, promptTokens, tokens, tokensPerSecond: speed, firstMs: first - began };
};

export const render: Work<"render"> = async (messages) => holder.chat().render(messages as readonly ChatMessage[]);

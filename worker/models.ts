/** Calls about the worker's one model: loading it, and its answers. */
import { GureumError } from "../core/errors.ts";
import { contextLimit } from "../core/generate/generate.ts";
import type { EngineCalls } from "./calls.ts";
import { makeHolder } from "./held.ts";
import { placeOf } from "./place.ts";
import type { Works } from "./port.ts";

export function modelWorks(): Works<Pick<EngineCalls, "load" | "generate" | "render" | "encode">> {
  const holder = makeHolder();
  return {
    async load({ place, options }, tell) {
      const notes: string[] = [];
      const { model, chat } = await holder.load(() => placeOf(place, tell, (text) => notes.push(text)), {
        ...options,
        onProgress: (done, total) => tell({ step: "weights", done, total }),
      });
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
    generate: ({ input, options }, tell, signal) => holder.answer(input, { ...options, signal }, tell),
    render: async ({ messages, options }) => holder.chat().render(messages, options),
    encode: async (input) => holder.held().model.encodePrompt(input),
  };
}

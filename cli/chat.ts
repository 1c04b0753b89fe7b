/** `gureum chat`: one answer, or a conversation. */
import process from "node:process";
import { GureumError } from "../core/errors.ts";
import type { ChatMessage } from "../index.ts";
import { converse } from "./conversation.ts";
import {
  generateOptions,
  modelFromWords,
  modelHelp,
  modelOptions,
  noteIdle,
  noteSampling,
  runOptions,
  samplingHelp,
  samplingOptions,
} from "./options.ts";
import { runGeneration } from "./run.ts";
import { templateFromWords, templateHelp, templateOptions } from "./template.ts";
import { textFromWords, textOptions } from "./text.ts";
import { type Command, parseWords } from "./words.ts";

export const chat: Command = {
  help: `usage: gureum chat [TEXT | --file FILE] [options]

With TEXT one answer; without it a conversation, typed in a terminal or piped, a message a line. In it Ctrl-C stops an answer or clears the
typed line, Ctrl-D leaves, /help says what else there is; several pasted lines are one message.

  --file FILE                 read TEXT from a file; one line end at its end is left out
  --no-history                do not keep what is typed (else in gureum/history under XDG_STATE_HOME, by default ~/.local/state)
  --system S                  replace the template's system prompt
${templateHelp}
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords(
      "chat",
      args,
      {
        ...modelOptions,
        ...samplingOptions,
        ...templateOptions,
        ...textOptions,
        system: { type: "string" },
        "no-history": { type: "boolean" },
      },
      1,
    );
    const options = runOptions("chat", words);
    const [word] = words.positionals;
    // Without a text, what is piped in is a conversation.
    const text = await textFromWords("chat", words, word, word === undefined && words.text("file") === undefined);
    if (text !== undefined && text.trim() === "")
      throw new GureumError("range", { where: "chat", what: "the question is empty", remedy: "write one" });
    const template = await templateFromWords("chat", words);
    const system = words.text("system");
    const messages: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
    const first = text === undefined ? undefined : { messages: [...messages, { role: "user", content: text }], ...template };
    // Before a conversation only the options can be checked.
    const model = await modelFromWords("chat", words, "messages", ({ check }) => check(first ?? { ids: [0] }, generateOptions(options)));
    const conversation = model.createConversation();
    try {
      noteSampling(model, options);
      noteIdle(model, options);
      if (first) {
        await runGeneration(model, first, options);
        return 0;
      }
      const answer = async (said: readonly ChatMessage[], signal: AbortSignal): Promise<string> =>
        (await runGeneration(model, { messages: said, ...template }, options, conversation, signal)).text;
      const allDone = await converse({ answer }, { system, keepsHistory: !words.flag("no-history") });
      // Who typed has seen what failed; whoever piped messages in learns it from the exit code.
      return allDone || process.stdin.isTTY ? 0 : 1;
    } finally {
      conversation.dispose();
      model.dispose();
    }
  },
};

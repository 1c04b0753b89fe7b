/** `gureum chat`: one answer, or a conversation. */
import process from "node:process";
import { createInterface } from "node:readline";
import { GureumError } from "../core/errors.ts";
import type { ChatMessage } from "../index.ts";
import {
  generateOptions,
  modelFromWords,
  modelHelp,
  modelOptions,
  noteSampling,
  runOptions,
  samplingHelp,
  samplingOptions,
} from "./options.ts";
import { runGeneration } from "./run.ts";
import { templateFromWords, templateHelp, templateOptions } from "./template.ts";
import { note } from "./terminal.ts";
import { type Command, parseWords } from "./words.ts";

export const chat: Command = {
  help: `usage: gureum chat [TEXT] [options]

With TEXT one answer; without it a conversation: Ctrl-C stops an answer, Ctrl-D leaves.

  --system S                  replace the template's system prompt
${templateHelp}
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords("chat", args, { ...modelOptions, ...samplingOptions, ...templateOptions, system: { type: "string" } }, 1);
    const options = runOptions("chat", words);
    const [text] = words.positionals;
    if (text !== undefined && text.trim() === "") throw new GureumError("range", { where: "chat", what: "the question is empty" });
    const template = await templateFromWords("chat", words);
    const system = words.text("system");
    const messages: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
    const first = text === undefined ? undefined : { messages: [...messages, { role: "user", content: text }], ...template };
    // Before a conversation only the options can be checked.
    const model = await modelFromWords("chat", words, "messages", ({ check }) => check(first ?? { ids: [0] }, generateOptions(options)));
    const conversation = model.createConversation();
    try {
      noteSampling(model, options);
      if (first) {
        await runGeneration(model, first, options);
        return 0;
      }
      await converse(async (question) => {
        const turn: ChatMessage = { role: "user", content: question };
        const { text: answer } = await runGeneration(model, { messages: [...messages, turn], ...template }, options, conversation);
        messages.push(turn, { role: "assistant", content: answer });
      });
      return 0;
    } finally {
      conversation.dispose();
      model.dispose();
    }
  },
};

/** Reads a question a line until the input ends; a failed answer is told and the conversation goes on without that turn. */
async function converse(answer: (question: string) => Promise<void>): Promise<void> {
  const prompt = process.stdin.isTTY ? "> " : "";
  const lines = createInterface({ input: process.stdin, output: process.stderr, prompt, terminal: process.stdin.isTTY === true });
  lines.on("SIGINT", () => {
    // While an answer runs, whoever runs it listens and stops it.
    if (process.emit("SIGINT")) return;
    note("\n(Ctrl-D leaves)");
    lines.prompt();
  });
  lines.prompt();
  for await (const line of lines) {
    try {
      if (line.trim() !== "") await answer(line);
    } catch (error) {
      if (!(error instanceof GureumError)) throw error;
      note(`gureum: ${error.message}`);
    }
    lines.prompt();
  }
}

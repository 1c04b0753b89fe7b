/** `gureum chat` without a text: questions and answers in turn, and what begins with a slash. */
import process from "node:process";
import { GureumError } from "../core/errors.ts";
import type { ChatMessage } from "../index.ts";
import { historyPath, openHistory } from "./history.ts";
import { pipedLines, typedLines } from "./line-editor.ts";
import { paint } from "./paint.ts";
import { lineOf } from "./remedies.ts";
import { isClosedPipe, note } from "./terminal.ts";

/** What a conversation needs of the model. */
export interface Speaker {
  /** The answer to the last message; ends early where the signal says so. */
  answer(messages: readonly ChatMessage[], signal: AbortSignal): Promise<string>;
}

export interface ConversationOptions {
  readonly system: string | undefined;
  readonly keepsHistory: boolean;
}

const commands = {
  "/clear": "forget what was said; the system prompt stays",
  "/system": "TEXT: another system prompt, and forget what was said; without TEXT: show it",
  "/help": "this list",
} as const;

const help = `${Object.entries(commands)
  .map(([name, what]) => `  ${name.padEnd(10)}${what}`)
  .join("\n")}
  //…        a message that begins with a slash
  Ctrl-C stops an answer, or clears the typed line; twice it leaves, as Ctrl-D does
  several pasted lines are one message: ␊ in the line is a line end, and may be typed or deleted like any letter`;

/** The command of a message, and what follows it; null for a message to the model. */
function commandOf(message: string): readonly [string, string] | null {
  const match = /^(\/[a-z]+)(?:\s+([\s\S]*))?$/.exec(message);
  return match ? [match[1]!, (match[2] ?? "").trim()] : null;
}

/**
 * Until the input ends. A failed answer is told, and the conversation goes on without that turn.
 * @returns whether every message was answered or obeyed
 * @throws GureumError where stdout is closed, and for input that is no text
 */
export async function converse(speaker: Speaker, { system, keepsHistory }: ConversationOptions): Promise<boolean> {
  const isTyped = process.stdin.isTTY === true;
  const history = isTyped && keepsHistory ? await openHistory(historyPath(process.env), (why) => note(`note: ${why}`)) : null;
  const lines = isTyped ? typedLines({ history: history?.lines ?? [], commands: Object.keys(commands) }) : pipedLines();
  const told = (text: string): void => note(paint("dim", text));
  let prompt = system;
  let turns: ChatMessage[] = [];
  let allDone = true;
  const failed = (why: string): void => {
    allDone = false;
    note(`${paint("red", "gureum:")} ${why}`);
  };
  const obey = (name: string, rest: string): void => {
    if (name === "/help") note(help);
    else if (name === "/system" && rest === "") told(prompt === undefined ? "(the template's own)" : prompt);
    else if (name === "/system" || name === "/clear") {
      if (name === "/system") prompt = rest;
      turns = [];
      told(name === "/system" ? "(a new conversation)" : "(forgotten)");
    } else failed(`chat: no command ${name} — it is one of ${Object.keys(commands).join(", ")}; a message may begin with //`);
  };
  if (isTyped) told("(/help says what there is; Ctrl-D leaves)");
  try {
    for (let message = await lines.next(); message !== null; message = await lines.next()) {
      if (message.trim() === "") continue;
      await history?.add(message);
      const command = commandOf(message);
      if (command) {
        obey(...command);
        continue;
      }
      const stop = new AbortController();
      const turn: ChatMessage = { role: "user", content: message.startsWith("//") ? message.slice(1) : message };
      const said: ChatMessage[] = [...(prompt === undefined ? [] : [{ role: "system", content: prompt }]), ...turns, turn];
      try {
        const answer = await lines.busy(
          () => speaker.answer(said, stop.signal),
          () => stop.abort(),
        );
        turns.push(turn, { role: "assistant", content: answer });
      } catch (error) {
        if (!(error instanceof GureumError) || isClosedPipe(error)) throw error;
        failed(lineOf(error));
      }
    }
    return allDone;
  } finally {
    lines.close();
  }
}

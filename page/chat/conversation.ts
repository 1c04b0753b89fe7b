/** The conversation: it is the page's, not the engine's, so that it outlives a lost device, another model and a reload of the tab. */
import { effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Running } from "../engine/client.ts";
import type { Answered, Message, Piece } from "../engine/protocol.ts";
import { watchBackground } from "../shell/background.ts";
import { keep, kept } from "../shell/kept.ts";
import { type Trouble, troubleOf } from "../shell/trouble.ts";
import { engine, model } from "./model.ts";
import { options, samplingOf } from "./options.ts";

export interface Turn {
  readonly role: "user" | "assistant";
  readonly text: string;
  /** Of an answer: why it ended; absent while it comes. */
  readonly ending?: Answered["finish"] | "broken";
  readonly stats?: Omit<Piece, "text">;
}

const isTurns = (value: unknown): value is Turn[] =>
  Array.isArray(value) && value.every((turn) => (turn?.role === "user" || turn?.role === "assistant") && typeof turn.text === "string");

/** An answer that a reload cut off came to no end. */
const restored = (kept("conversation", "sessionStorage", isTurns) ?? []).map(
  (turn): Turn => (turn.role === "assistant" && !turn.ending ? { ...turn, ending: "broken" } : turn),
);

export const turns: Signal<readonly Turn[]> = signal(restored);
export const trouble: Signal<Trouble | null> = signal<Trouble | null>(null);
/** Tokens per second of the last answer on the CPU. */
export const cpuSpeed: Signal<number | null> = signal<number | null>(null);
const answering: Signal<boolean> = signal(false);
export const isAnswering: ReadonlySignal<boolean> = answering;

effect(() => {
  if (!answering.value) keep("conversation", "sessionStorage", turns.value);
});
// While an answer comes it is kept when the page may go.
addEventListener("pagehide", () => keep("conversation", "sessionStorage", turns.value));

/** What the template gets: roles in turns, so that messages of one role in a row are one, and an empty answer is none. */
export function messagesOf(all: readonly Turn[], system: string): Message[] {
  const out: Message[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const { role, text } of all) {
    if (role === "assistant" && text === "") continue;
    const last = out.at(-1);
    if (last?.role === role) out[out.length - 1] = { role, content: `${last.content}\n\n${text}` };
    else out.push({ role, content: text });
  }
  return out;
}

let running: Running<Answered> | undefined;

/** Answers the last message. */
async function answer(): Promise<void> {
  trouble.value = null;
  const before = turns.value;
  const show = (turn: Omit<Turn, "role">): void => {
    turns.value = [...before, { role: "assistant", ...turn }];
  };
  let text = "";
  let stats: Omit<Piece, "text"> | undefined;
  answering.value = true;
  const background = watchBackground();
  show({ text });
  try {
    const { system, maxNewTokens } = options.value;
    const asked = { messages: messagesOf(before, system), maxNewTokens, sampling: samplingOf(options.value) };
    running = engine.call("answer", asked, (piece) => {
      text += piece.text;
      stats = piece;
      show({ text, stats: piece });
    });
    const { finish, ...rest } = await running.result;
    show({ text, ending: finish, stats: rest });
    if (model.value.kind === "ready" && model.value.loaded.backend === "cpu" && rest.tokensPerSecond > 0)
      cpuSpeed.value = rest.tokensPerSecond;
  } catch (error) {
    const found = troubleOf(error);
    if (found.kind !== "ended") trouble.value = found;
    if (text === "") turns.value = before;
    else show({ text, ending: "broken", ...(stats ? { stats } : {}) });
  } finally {
    background.end();
    running = undefined;
    answering.value = false;
  }
}

export async function send(text: string): Promise<void> {
  if (answering.value || text.trim() === "") return;
  turns.value = [...turns.value, { role: "user", text }];
  await answer();
}

/** Answers the last message again; what was answered is replaced. */
export async function again(): Promise<void> {
  if (answering.value) return;
  turns.value = turns.value.slice(0, turns.value.findLastIndex(({ role }) => role === "user") + 1);
  if (turns.value.length > 0) await answer();
}

export const stop = (): void => running?.stop();

export function clear(): void {
  if (answering.value) return;
  turns.value = [];
  trouble.value = null;
}

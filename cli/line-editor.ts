/**
 * Messages typed in a terminal, by node:readline: with history, with pastes of several lines as one message, and with Ctrl-C as people
 * expect it. What is typed while an answer runs is the beginning of the next message. Without a terminal a line is a message.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { PassThrough, Writable } from "node:stream";
import { paint } from "./paint.ts";
import { asMessage, PASTE_OFF, PASTE_ON, pasteFilter } from "./paste.ts";
import { inputLines, note } from "./terminal.ts";

export interface Lines {
  /** The next message; null where there is no further. */
  next(): Promise<string | null>;
  /** Runs what a message asks for: what is typed meanwhile does not show, Ctrl-C calls `interrupt`. */
  busy<T>(body: () => Promise<T>, interrupt: () => void): Promise<T>;
  close(): void;
}

export interface LineOptions {
  /** The newest first. */
  readonly history: string[];
  /** What TAB may complete. */
  readonly commands: readonly string[];
}

/** How long keys that may begin a mark of a paste are waited for, in milliseconds. */
const MARK_MS = 50;
/** Exit code of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

/** The terminal's keys, with pastes as one line: what node:readline reads. */
function typedKeys(): PassThrough {
  const filter = pasteFilter();
  const keys = new PassThrough();
  let timer: NodeJS.Timeout | undefined;
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (text: string) => {
    clearTimeout(timer);
    keys.write(filter.push(text));
    timer = setTimeout(() => keys.write(filter.flush()), MARK_MS);
    timer.unref();
  });
  process.stdin.on("end", () => keys.end());
  return Object.assign(keys, { isTTY: true, setRawMode: (on: boolean) => process.stdin.setRawMode(on) });
}

/** stderr, as long as nothing else is on the screen. */
function editorScreen(isShown: () => boolean): Writable {
  const screen = new Writable({
    write(text, _encoding, done) {
      if (isShown()) process.stderr.write(text as Buffer);
      done();
    },
  });
  process.stderr.on("resize", () => screen.emit("resize"));
  Object.defineProperty(screen, "columns", { get: () => process.stderr.columns });
  return Object.assign(screen, { isTTY: true });
}

export function typedLines({ history, commands }: LineOptions): Lines {
  let interrupt: (() => void) | null = null;
  let closed = false;
  let leaving = false;
  const ready: string[] = [];
  let waiting: ((line: string | null) => void) | null = null;
  const lines = createInterface({
    input: typedKeys(),
    output: editorScreen(() => interrupt === null),
    prompt: paint("bold", "> "),
    terminal: true,
    history,
    historySize: 1000,
    removeHistoryDuplicates: true,
    completer: (line: string): [string[], string] => [commands.filter((name) => line.startsWith("/") && name.startsWith(line)), line],
  });
  process.stderr.write(PASTE_ON);
  const off = (): void => void process.stderr.write(PASTE_OFF);
  process.once("exit", off);
  lines.on("line", (line) => {
    leaving = false;
    if (waiting) waiting(line);
    else ready.push(line);
    waiting = null;
  });
  lines.on("close", () => {
    closed = true;
    waiting?.(null);
    waiting = null;
  });
  lines.on("SIGINT", () => {
    if (interrupt) {
      if (leaving) process.exit(INTERRUPTED);
      leaving = true;
      interrupt();
      return;
    }
    if (lines.line === "" && leaving) {
      process.stderr.write("\n");
      lines.close();
      return;
    }
    leaving = lines.line === "";
    // Ctrl-A, Ctrl-K, and the screen below: the line is empty, however many rows it had.
    lines.write(null, { ctrl: true, name: "e" });
    lines.write(null, { ctrl: true, name: "u" });
    if (leaving) note(`\n${paint("dim", "(Ctrl-C once more, or Ctrl-D, leaves; /help says what else there is)")}`);
    lines.prompt();
  });
  return {
    next() {
      const line = ready.shift();
      if (line !== undefined) {
        process.stderr.write(`${paint("bold", "> ")}${line}\n`);
        return Promise.resolve(asMessage(line));
      }
      if (closed) return Promise.resolve(null);
      lines.prompt(true);
      return new Promise((resolve) => {
        waiting = (text) => resolve(text === null ? null : asMessage(text));
      });
    },
    async busy(body, stop) {
      interrupt = stop;
      leaving = false;
      try {
        return await body();
      } finally {
        interrupt = null;
        leaving = false;
      }
    },
    close() {
      lines.close();
      off();
      process.off("exit", off);
      process.stdin.pause();
    },
  };
}

/** A message a line, as they are piped in. */
export function pipedLines(): Lines {
  const lines = inputLines();
  return {
    async next() {
      const { value, done } = await lines.next();
      return done ? null : value;
    },
    async busy(body, interrupt) {
      process.on("SIGINT", interrupt);
      try {
        return await body();
      } finally {
        process.off("SIGINT", interrupt);
      }
    },
    close: () => void lines.return(undefined),
  };
}

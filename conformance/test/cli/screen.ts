/**
 * The built command in a terminal: script(1) gives it one, xterm's own parser says what is on the screen. Linux only: script(1) has other
 * words elsewhere.
 */
import { type ChildProcess, spawn } from "node:child_process";
import xterm from "@xterm/headless";
import { quoteWords } from "../../../core/text.ts";
import { cli } from "./gureum.ts";

export const hasScript: boolean = process.platform === "linux";

export interface Screen {
  /** Everything that was written, with its control sequences. */
  readonly raw: () => string;
  /** The rows that hold something, from the top of all that was on it. */
  rows(): Promise<string[]>;
  type(keys: string): void;
  /** Resolves once what is written after the call holds the pattern. */
  sees(pattern: RegExp): Promise<void>;
  /** Exit code, once it ended. */
  readonly ended: Promise<number | null>;
  kill(): void;
}

const LIMIT_MS = 60_000;

export function screenOf(args: readonly string[], env: Readonly<Record<string, string>> = {}, columns = 100): Screen {
  const terminal = new xterm.Terminal({ cols: columns, rows: 40, scrollback: 1000, allowProposedApi: true });
  const command = `stty cols ${columns} rows 40; exec ${quoteWords([process.execPath, cli, ...args])}`;
  const child: ChildProcess = spawn("script", ["-qefc", command, "/dev/null"], {
    env: { ...process.env, NO_COLOR: "", FORCE_COLOR: "", TERM: "xterm-256color", SHELL: "/bin/sh", ...env },
  });
  let raw = "";
  let looked = 0;
  let look: () => void = () => {};
  child.stdout!.setEncoding("utf8");
  child.stdout!.on("data", (text: string) => {
    raw += text;
    terminal.write(text);
    look();
  });
  return {
    raw: () => raw,
    rows: () =>
      new Promise((resolve) => {
        terminal.write("", () => {
          const { active } = terminal.buffer;
          const rows = Array.from({ length: active.length }, (_, i) => active.getLine(i)!.translateToString(true));
          resolve(rows.filter((row) => row !== ""));
        });
      }),
    type: (keys) => void child.stdin!.write(keys),
    sees: (pattern) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${pattern} did not come within ${LIMIT_MS} ms; what did: ${raw.slice(-2000)}`)),
          LIMIT_MS,
        );
        look = () => {
          const found = pattern.exec(raw.slice(looked));
          if (!found) return;
          looked += found.index + found[0].length;
          clearTimeout(timer);
          look = () => {};
          resolve();
        };
        look();
      }),
    ended: new Promise((resolve) => child.on("close", (code) => resolve(code))),
    kill: () => void child.kill("SIGKILL"),
  };
}

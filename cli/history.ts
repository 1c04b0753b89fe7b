/** What was typed in earlier conversations: a line each, the newest last, in a file that only its owner reads. */
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { partName } from "../core/host/parts.ts";
import { asHistory } from "./paste.ts";

/** Lines that are kept; the file may grow to twice as many between two conversations. */
const KEPT = 1000;

export const historyPath = (env: Readonly<Record<string, string | undefined>>): string =>
  join(env.XDG_STATE_HOME || join(env.HOME || homedir(), ".local/state"), "gureum/history");

export interface History {
  /** The newest first, as node:readline wants them. */
  readonly lines: string[];
  add(message: string): void;
}

/** Level by level: Node's recursive mkdir never comes back from /proc. */
function makeFolders(path: string): void {
  if (existsSync(path)) return;
  makeFolders(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** The whole file or, where the process ends meanwhile, the one before. */
function replace(path: string, text: string): void {
  const file = realpathSync(path);
  const part = join(dirname(file), partName(basename(file)));
  writeFileSync(part, text, { mode: 0o600 });
  renameSync(part, file);
}

/**
 * A file that cannot be read or written costs the history, not the conversation.
 * @param tell hears once why it does not work
 */
export function openHistory(path: string, tell: (why: string) => void): History {
  let works = true;
  const trying = (body: () => void): void => {
    if (!works) return;
    try {
      body();
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return;
      works = false;
      tell(`the history is not kept: ${(error as Error).message}`);
    }
  };
  let lines: string[] = [];
  trying(() => {
    lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
    if (lines.length > 2 * KEPT) replace(path, `${lines.slice(-KEPT).join("\n")}\n`);
  });
  return {
    lines: lines.slice(-KEPT).reverse(),
    add: (message) =>
      trying(() => {
        makeFolders(dirname(path));
        appendFileSync(path, `${asHistory(message)}\n`, { mode: 0o600 });
        chmodSync(path, 0o600);
      }),
  };
}

/** What was typed in earlier conversations: a line each, the newest last, in a file that only its owner reads. */
import { appendFile, chmod } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { makeFolder } from "../core/host/folders.ts";
import { hostError } from "../core/host/host-error.ts";
import { readTextFile } from "../core/host/node.ts";
import { writeFile } from "../core/host/write.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { asHistory } from "./paste.ts";

/** Lines that are kept; the file may grow to twice as many between two conversations. */
const KEPT = 1000;

export const historyPath = (env: Readonly<Record<string, string | undefined>>): string =>
  join(env.XDG_STATE_HOME || join(env.HOME || homedir(), ".local/state"), "gureum/history");

export interface History {
  /** The newest first, as node:readline wants them. */
  readonly lines: string[];
  add(message: string): Promise<void>;
}

/** The lines of the file, none where there is no such file yet; a long one is cut to the newest of them. */
async function readLines(path: string): Promise<string[]> {
  const text = (await readTextFile(path)) ?? "";
  const lines = text.split("\n").filter(Boolean);
  const kept = lines.slice(-KEPT);
  if (lines.length > 2 * KEPT) await writeFile(path, (sink) => sink(encodeUtf8(`${kept.join("\n")}\n`)));
  return kept;
}

/**
 * A file that cannot be read or written costs the history, not the conversation.
 * @param tell hears once why it does not work
 */
export async function openHistory(path: string, tell: (why: string) => void): Promise<History> {
  let works = true;
  const trying = async (body: () => Promise<void>): Promise<void> => {
    if (!works) return;
    try {
      await body();
    } catch (error) {
      works = false;
      tell(`the history is not kept: ${hostError(path, error).message}`);
    }
  };
  let lines: string[] = [];
  await trying(async () => {
    lines = await readLines(path);
  });
  return {
    lines: lines.toReversed(),
    add: (message) =>
      trying(async () => {
        await makeFolder(dirname(path), 0o700);
        await appendFile(path, `${asHistory(message)}\n`, { mode: 0o600 });
        await chmod(path, 0o600);
      }),
  };
}

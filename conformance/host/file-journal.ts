/** A journal on disk. */
import { appendFile } from "node:fs/promises";
import { hostError } from "../../core/host/host-error.ts";
import { readTextFile } from "../../core/host/node.ts";
import { writeFile } from "../../core/host/write.ts";
import { encodeUtf8 } from "../../core/utf8.ts";
import { encodeNumbers, type Journal, readJournal } from "../certificate/journal.ts";

/**
 * @throws GureumError from its calls: "io", "disk-full", "not-found" for a folder that is missing, and what
 * `readJournal` throws
 */
export function fileJournal(path: string): Journal {
  return {
    async open(head) {
      const text = (await readTextFile(path)) ?? "";
      const rows = readJournal(path, text, head);
      const lines = [head, ...rows].map((value) => `${encodeNumbers(value)}\n`);
      await writeFile(path, (sink) => sink(encodeUtf8(lines.join(""))));
      return rows;
    },
    async add(row) {
      await appendFile(path, `${encodeNumbers(row)}\n`).catch((error: unknown) => {
        throw hostError(path, error);
      });
    },
  };
}

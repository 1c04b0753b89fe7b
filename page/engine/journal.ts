/** Rows of a run of the suite, kept in the browser's private file system: a run goes on where it was stopped, also after a reload. */
import { encodeNumbers, type Journal, readJournal } from "../../conformance/certificate/journal.ts";
import { GureumError } from "../../core/errors.ts";
import { decodeUtf8, encodeUtf8 } from "../../core/utf8.ts";
import { BUILD } from "./build.ts";

/** What workers have beside the DOM's: a file that is written at once. */
interface SyncHandle {
  getSize(): number;
  read(target: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** Rows of another build are of other laws. */
const fileName = `conformance-${BUILD ?? "none"}.jsonl`;

async function openFile(): Promise<SyncHandle | null> {
  try {
    const root = await navigator.storage.getDirectory();
    for await (const [name] of root as unknown as AsyncIterable<[string, unknown]>)
      if (name.startsWith("conformance-") && name !== fileName) await root.removeEntry(name);
    const entry = await root.getFileHandle(fileName, { create: true });
    return await (entry as unknown as { createSyncAccessHandle(): Promise<SyncHandle> }).createSyncAccessHandle();
  } catch {
    return null; // no such file system here, or another tab holds the file: the run is kept in memory alone
  }
}

const asBytes = (value: unknown): Uint8Array<ArrayBuffer> => encodeUtf8(`${encodeNumbers(value)}\n`) as Uint8Array<ArrayBuffer>;

/** @param afresh forget what an interrupted run left */
export async function openJournal(afresh: boolean): Promise<Journal & { close(): void }> {
  const file = await openFile();
  const append = (bytes: Uint8Array<ArrayBuffer>): void => {
    file?.write(bytes, { at: file.getSize() });
    file?.flush();
  };
  return {
    async open(head) {
      if (!file) return [];
      const bytes = new Uint8Array(file.getSize());
      file.read(bytes, { at: 0 });
      try {
        const rows = afresh || bytes.length === 0 ? null : readJournal(fileName, decodeUtf8(bytes), head);
        if (rows) {
          // A line that was cut off goes, and the next begins behind the last whole one.
          file.truncate(bytes.lastIndexOf(10) + 1);
          return rows;
        }
      } catch (error) {
        if (!(error instanceof GureumError)) throw error; // of another run
      }
      file.truncate(0);
      append(asBytes(head));
      return [];
    },
    async add(row) {
      append(asBytes(row));
    },
    close: () => file?.close(),
  };
}

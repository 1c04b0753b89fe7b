/**
 * Where bytes go: the writing counterpart of byte-source. Disk is in core/host; this file has memory.
 */

/** Takes the next bytes of a file. The caller may reuse the array once the promise is done. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>;

/** A folder that appears whole or not at all: what is written shows under its name only when all of it is done. */
export interface FolderWriter {
  /** Writes one file; `body` sends its bytes in order. */
  file(fileName: string, body: (sink: ByteSink) => Promise<void>): Promise<void>;
}

/** A folder writer into a map of files, which `memoryStore` reads back. */
export function memoryFolder(files: Map<string, Uint8Array>): FolderWriter {
  return {
    async file(fileName, body) {
      files.set(fileName, await collectBytes(body));
    },
  };
}

/** Everything `body` sends, in one array. */
export async function collectBytes(body: (sink: ByteSink) => Promise<void>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  await body(async (bytes) => {
    chunks.push(bytes.slice());
    byteLength += bytes.length;
  });
  const whole = new Uint8Array(byteLength);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Bytes that the browser holds, on disk where they are many: what is picked or dropped, kept, or fetched from a server without ranges. */
import { type ByteSource, checkRange } from "../checkpoint/byte-source.ts";
import { GureumError } from "../errors.ts";

/** As much of the web's ReadableStream of bytes as is needed. */
export interface ByteStreamLike {
  /** Throws where the stream is none of bytes. */
  getReader(options: { mode: "byob" }): ByteReaderLike;
}
interface ByteReaderLike {
  /** Fills the view from its start on; its memory is gone and comes back in `value`, which is absent where the stream was cancelled. */
  read(view: Uint8Array<ArrayBuffer>): Promise<{ readonly value?: Uint8Array<ArrayBuffer> | undefined; readonly done: boolean }>;
  cancel(): Promise<void>;
}

/** As much of the web's Blob as is needed. */
export interface BlobLike {
  /** Bytes. */
  readonly size: number;
  /** The bytes from one offset to before another, not yet read. */
  slice(from: number, to: number): BlobLike;
  /** Reads them all. */
  arrayBuffer(): Promise<ArrayBuffer>;
  /** Reads them bit by bit, in browsers and Node into memory of the reader's own. */
  stream?(): ByteStreamLike;
  /** Of a File: when it was changed, in milliseconds. */
  readonly lastModified?: number;
}

/** Bytes read at a time, so that a large tensor has no second copy. */
const PART = 4 * 2 ** 20;
/** Bytes that a stream is asked for at once; what is as short as a header is read without one. */
const [LEAST, MOST] = [2 ** 16, 2 ** 20];

function byteReader(blob: BlobLike): ByteReaderLike | undefined {
  try {
    return blob.stream?.().getReader({ mode: "byob" });
  } catch {
    return undefined; // a stream, but none of bytes
  }
}

/**
 * Reads the whole blob into `target`, which is as long, through memory that is used again: of what `arrayBuffer` gives each time a hundred
 * megabytes lie there before the garbage collector comes, and it takes three times as long.
 * @param spare memory of reads before; what comes back is put there
 * @returns bytes that came
 */
async function readBlob(blob: BlobLike, target: Uint8Array, spare: ArrayBuffer[]): Promise<number> {
  const reader = target.length < LEAST ? undefined : byteReader(blob);
  let done = 0;
  if (!reader) {
    for (; done < target.length; done += PART) {
      const bytes = await blob.slice(done, Math.min(done + PART, target.length)).arrayBuffer();
      target.set(new Uint8Array(bytes), done);
      if (bytes.byteLength < Math.min(PART, target.length - done)) return done + bytes.byteLength;
    }
    return target.length;
  }
  let memory = spare.pop() ?? new ArrayBuffer(MOST);
  while (done < target.length) {
    const { value, done: ended } = await reader.read(new Uint8Array(memory, 0, Math.min(MOST, target.length - done)));
    if (!value) return done;
    memory = value.buffer;
    target.set(value, done);
    done += value.length;
    if (ended) break;
  }
  spare.push(memory);
  await reader.cancel();
  return done;
}

/** @throws GureumError from its reads "io" where the browser does not give the bytes: the file changed or went since it was picked */
export function blobSource(name: string, blob: BlobLike): ByteSource {
  const version = blob.lastModified === undefined ? {} : { version: `${blob.lastModified}` };
  const source = { name, byteLength: blob.size, ...version };
  const spare: ArrayBuffer[] = [];
  return {
    ...source,
    async readInto(byteOffset, target) {
      checkRange(source, byteOffset, target.length);
      let came: number;
      try {
        came = await readBlob(blob.slice(byteOffset, byteOffset + target.length), target, spare);
      } catch (error) {
        throw new GureumError(
          "io",
          {
            where: name,
            what: "the browser cannot read the file: it changed or went since it was chosen, or its permission did",
            got: error instanceof Error ? error.message : String(error),
            remedy: "choose the folder again",
          },
          error,
        );
      }
      if (came < target.length)
        throw new GureumError("io", {
          where: name,
          what: "the file was cut off while it was read",
          got: `its end at ${byteOffset + came}`,
        });
    },
    async close() {},
  };
}

/** Takes bytes in parts and gives them back as one blob; only the last part lies in this page's memory. */
export function collectBlob(): { add(bytes: Uint8Array): void; blob(): BlobLike } {
  const parts: Blob[] = [];
  let held: Uint8Array<ArrayBuffer>[] = [];
  let heldBytes = 0;
  const put = (): void => {
    if (heldBytes > 0) parts.push(new Blob(held));
    held = [];
    heldBytes = 0;
  };
  return {
    add(bytes) {
      held.push(bytes.slice());
      heldBytes += bytes.length;
      if (heldBytes >= PART) put();
    },
    blob() {
      put();
      return new Blob(parts);
    },
  };
}

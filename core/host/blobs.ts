/** Bytes that the browser holds, on disk where they are many: what is picked or dropped, kept, or fetched from a server without ranges. */
import { type ByteSource, checkRange } from "../checkpoint/byte-source.ts";
import { GureumError } from "../errors.ts";

/** As much of the web's Blob as is needed. */
export interface BlobLike {
  /** Bytes. */
  readonly size: number;
  /** The bytes from one offset to before another, not yet read. */
  slice(from: number, to: number): BlobLike;
  /** Reads them all. */
  arrayBuffer(): Promise<ArrayBuffer>;
  /** Of a File: when it was changed, in milliseconds. */
  readonly lastModified?: number;
}

/** Bytes read at a time, so that a large tensor has no second copy. */
const PART = 4 * 2 ** 20;

/** @throws GureumError from its reads "io" where the browser does not give the bytes: the file changed or went since it was picked */
export function blobSource(name: string, blob: BlobLike): ByteSource {
  const version = blob.lastModified === undefined ? {} : { version: `${blob.lastModified}` };
  const source = { name, byteLength: blob.size, ...version };
  return {
    ...source,
    async readInto(byteOffset, target) {
      checkRange(source, byteOffset, target.length);
      for (let done = 0; done < target.length; ) {
        const length = Math.min(PART, target.length - done);
        const from = byteOffset + done;
        let bytes: ArrayBuffer;
        try {
          bytes = await blob.slice(from, from + length).arrayBuffer();
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
        if (bytes.byteLength !== length)
          throw new GureumError("io", {
            where: name,
            what: "the file was cut off while it was read",
            got: `its end at ${from + bytes.byteLength}`,
          });
        target.set(new Uint8Array(bytes), done);
        done += length;
      }
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

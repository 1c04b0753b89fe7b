/**
 * A file behind an address. Read by ranges where the server gives them, each taken up again where the connection breaks; whole and once where
 * it does not, or where a hash is to be checked before a byte is used. Source: RFC 9110, sections 8.8 (validators) and 14 (ranges).
 */
import { type ByteSource, checkRange, memorySource } from "../checkpoint/byte-source.ts";
import { GureumError } from "../errors.ts";
import { makeSha256 } from "../sha256.ts";
import { formatBytes } from "../text.ts";
import { blobSource, collectBlob } from "./blobs.ts";
import { type Answer, type AnswerHead, type Asking, ask, connectionTrouble, pause } from "./web-ask.ts";

/** How one file is read. */
export interface UrlReading extends Asking {
  /** SHA-256 that its bytes must have, in hexadecimal digits: it is then fetched whole before anything of it is read. */
  readonly sha256?: string;
  /** Fetched whole by one plain request, which browsers keep in their cache. */
  readonly whole?: boolean;
  /** Told of what is not as fast as it might be. */
  readonly onNote?: (text: string) => void;
  /** Bytes of a file fetched whole that have come; negative where they are thrown away. */
  readonly onBytes?: (byteLength: number, total: number) => void;
}

/** Smaller reads take a page of so many bytes at once, and some pages are held: small tensors lie side by side. */
const PAGE = 2 ** 20;
const PAGES = 16;

/** What tells one state of a file from another: its ETag, or when it was changed. A server may hide either from a page of another origin. */
const versionOf = ({ headers }: AnswerHead): string | null => headers.get("etag") ?? headers.get("last-modified");

/** Only a strong ETag may ask for the rest of the same bytes. */
const isStrong = (version: string | null): version is string => version?.startsWith('"') === true;

const sameOrigin = (address: string): boolean => {
  const { location } = globalThis as { location?: { origin: string } };
  return location === undefined || new URL(address).origin === location.origin;
};

const changed = (address: string, got?: string): GureumError =>
  new GureumError("io", {
    where: address,
    what: "the file changed on the server while it was read",
    ...(got === undefined ? {} : { got }),
    remedy: "load again",
  });

const lost = (address: string, failures: number, error: unknown, kept: string): GureumError =>
  new GureumError(
    "network",
    {
      where: address,
      what: `the connection broke ${failures} times in a row`,
      got: `${connectionTrouble(error)}, ${kept}`,
      remedy: "look at the connection and load again",
    },
    error,
  );

/** The first and last byte of a 206 answer, and the file's length; null where the server hides them. */
function rangeOf({ headers }: AnswerHead): { readonly from: number; readonly total: number } | null {
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "") ?? [];
  return from === undefined ? null : { from: Number(from), total: Number(total) };
}

/** All of a body, in one piece, of known length or not. */
async function bytesOf({ body }: Answer): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    pieces.push(piece);
    length += piece.length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Fetches the file from its beginning to its end, again where the connection breaks; `first` is an answer that is there already. */
async function fetchWhole(address: string, reading: UrlReading, first?: Answer): Promise<ByteSource> {
  const { patience, sha256, onBytes } = reading;
  let answer = first;
  for (let failures = 1; ; failures++) {
    answer ??= await ask(address, {}, reading);
    const { headers } = answer.response;
    // Of a compressed body the length is that of what travels.
    const stated = headers.get("content-encoding") === null ? Number(headers.get("content-length") ?? Number.NaN) : Number.NaN;
    const hash = sha256 === undefined ? null : makeSha256();
    const collected = collectBlob();
    let length = 0;
    try {
      for await (const piece of answer.body) {
        collected.add(piece);
        hash?.update(piece);
        length += piece.length;
        onBytes?.(piece.length, Number.isNaN(stated) ? length : stated);
      }
      if (length < stated) throw new Error(`the connection closed ${stated - length} bytes early`);
      const got = hash?.digest();
      if (got !== sha256?.toLowerCase())
        throw new GureumError("network", {
          where: address,
          what: "what came does not have the SHA-256 that was given, and was thrown away",
          expected: sha256!,
          got: got!,
          remedy: "load again; if it stays so, the file is another one, or is changed on its way",
        });
      const version = versionOf(answer.response);
      return { ...blobSource(address, collected.blob()), ...(version === null ? {} : { version }) };
    } catch (error) {
      onBytes?.(-length, Number.isNaN(stated) ? length : stated);
      if (error instanceof GureumError) throw error;
      if (failures >= patience.tries) throw lost(address, failures, error, "nothing of it is kept, since the server gives no ranges");
      await pause(patience.waitMs * 2 ** (failures - 1));
      answer = undefined;
    }
  }
}

/**
 * @throws GureumError "not-found", "access", "network"; "io" where the file changes while it is read
 */
export async function urlSource(address: string, reading: UrlReading): Promise<ByteSource> {
  if (reading.whole || reading.sha256 !== undefined) return fetchWhole(address, reading);
  // Ranges are asked for past the browser's cache, which would let one wait for the other.
  const answer = await ask(address, { headers: { range: `bytes=0-${PAGE - 1}` }, cache: "no-store" }, reading);
  const { response } = answer;
  if (response.status === 416) {
    await answer.cancel();
    return memorySource(address, new Uint8Array(0));
  }
  if (response.status === 200) {
    const length = Number(response.headers.get("content-length") ?? 0);
    if (length > PAGE)
      reading.onNote?.(`${address}: the server gives no ranges, so all ${formatBytes(length)} are fetched before they are read`);
    return fetchWhole(address, reading, answer);
  }
  const version = versionOf(response);
  const head = await bytesOf(answer);
  const byteLength = rangeOf(response)?.total ?? (head.length < PAGE ? head.length : await lengthOf(address, reading));
  return rangedSource(address, reading, { byteLength, version, head });
}

/** The length of a file whose server hides it from answers with a part. */
async function lengthOf(address: string, reading: UrlReading): Promise<number> {
  const answer = await ask(address, { method: "HEAD", cache: "no-store" }, reading);
  await answer.cancel();
  const length = answer.response.headers.get("content-length");
  if (length !== null) return Number(length);
  throw new GureumError("access", {
    where: address,
    what: "the server does not tell the file's length",
    remedy: "let it send Access-Control-Expose-Headers: Content-Range, ETag",
  });
}

interface Begun {
  readonly byteLength: number;
  readonly version: string | null;
  /** The first bytes. */
  readonly head: Uint8Array;
}

function rangedSource(address: string, reading: UrlReading, { byteLength, version, head }: Begun): ByteSource {
  const { patience } = reading;
  const source = { name: address, byteLength };
  const condition: Readonly<Record<string, string>> = isStrong(version) && sameOrigin(address) ? { "if-range": version } : {};

  /** One request; fills `target` from its beginning. @returns how many bytes came before the connection broke, and how it did */
  const once = async (byteOffset: number, target: Uint8Array): Promise<{ done: number; error?: unknown }> => {
    const last = byteOffset + target.length - 1;
    const answer = await ask(address, { headers: { range: `bytes=${byteOffset}-${last}`, ...condition }, cache: "no-store" }, reading);
    const { response } = answer;
    let done = 0;
    try {
      // 200 where a range was asked for means that the validator no longer holds; 416, that the file is shorter now.
      if (response.status !== 206) throw changed(address, `HTTP ${response.status}`);
      const range = rangeOf(response);
      if (range && (range.from !== byteOffset || range.total !== byteLength)) throw changed(address, `${range.total} bytes`);
      const now = versionOf(response);
      if (version !== null && now !== null && now !== version) throw changed(address, now);
      for await (const piece of answer.body) {
        if (done + piece.length > target.length) throw changed(address, "more bytes than were asked for");
        target.set(piece, done);
        done += piece.length;
      }
      return done === target.length ? { done } : { done, error: new Error(`the connection closed ${target.length - done} bytes early`) };
    } catch (error) {
      if (error instanceof GureumError) throw error;
      return { done, error };
    } finally {
      await answer.cancel();
    }
  };
  const fetchInto = async (byteOffset: number, target: Uint8Array): Promise<void> => {
    let failures = 0;
    for (let at = 0; at < target.length; ) {
      const { done, error } = await once(byteOffset + at, target.subarray(at));
      at += done;
      if (at === target.length) return;
      failures = done > 0 ? 1 : failures + 1;
      if (failures >= patience.tries) throw lost(address, failures, error, `after ${byteOffset + at} of ${byteLength} bytes`);
      await pause(patience.waitMs * 2 ** (failures - 1));
    }
  };

  /** Pages by their number, the one that was used last at the end. */
  const pages = new Map<number, Promise<Uint8Array>>([[0, Promise.resolve(head)]]);
  const page = (i: number): Promise<Uint8Array> => {
    const bytes = pages.get(i) ?? fetchPage(i);
    pages.delete(i);
    pages.set(i, bytes);
    if (pages.size > PAGES) pages.delete(pages.keys().next().value!);
    return bytes;
  };
  const fetchPage = async (i: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(Math.min(PAGE, byteLength - i * PAGE));
    await fetchInto(i * PAGE, bytes).catch((error: unknown) => {
      pages.delete(i); // the next who wants it asks again
      throw error;
    });
    return bytes;
  };
  return {
    ...source,
    ...(version === null ? {} : { version }),
    async readInto(byteOffset, target) {
      checkRange(source, byteOffset, target.length);
      if (target.length >= PAGE) return fetchInto(byteOffset, target);
      for (let done = 0; done < target.length; ) {
        const at = byteOffset + done;
        const from = at % PAGE;
        const piece = (await page(Math.floor(at / PAGE))).subarray(from, from + target.length - done);
        target.set(piece, done);
        done += piece.length;
      }
    },
    async close() {},
  };
}

/**
 * GPT-2's way to write bytes as characters, so that a vocabulary of texts can hold any bytes: the printable characters of Latin-1 stand
 * for themselves, the other 68 bytes are U+0100 to U+0143 in order. Pieces decode to bytes, bytes to text.
 * Source: openai/gpt-2 `src/encoder.py` (`bytes_to_unicode`); huggingface/tokenizers `pre_tokenizers/byte_level.rs`.
 */
import { decodeUtf8, encodeUtf8, sequenceLength } from "../core/utf8.ts";
import type { StreamingDecoder } from "./decoding.ts";
import type { TokenizerParts } from "./parts.ts";

const printable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);

/** Character of each byte. */
const characters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

/** Byte of each character below U+0144; -1: it stands for none. */
const byteOf = new Int16Array(0x144).fill(-1);
for (const [byte, character] of characters.entries()) byteOf[character.charCodeAt(0)] = byte;

/** UTF-8 of a text, a character for each byte. A lone surrogate counts as U+FFFD. */
export function toByteCharacters(text: string): string {
  let written = "";
  for (let i = 0; i < text.length; i++) {
    let point = text.codePointAt(i)!;
    if (point > 0xffff) i++;
    else if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) written += characters[point]!;
    else {
      const extra = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
      written += characters[[0, 0xc0, 0xe0, 0xf0][extra]! | (point >> (6 * extra))]!;
      for (let j = extra - 1; j >= 0; j--) written += characters[0x80 | ((point >> (6 * j)) & 0x3f)]!;
    }
  }
  return written;
}

/** The bytes a piece stands for; where one of its characters stands for none, the UTF-8 of the whole piece. */
export function bytesOfPiece(piece: string): Uint8Array {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = byteOf[piece.charCodeAt(i)] ?? -1;
    if (byte < 0) return encodeUtf8(piece);
    bytes[i] = byte;
  }
  return bytes;
}

/**
 * Bytes to text; U+FFFD for every longest part that begins like a character and does not go on as one (WHATWG's and Rust's way).
 * Unless `final`, the beginning of a character at the end stays in `rest`.
 */
export function decodeLossy(bytes: Uint8Array, final: boolean): { text: string; rest: Uint8Array } {
  const parts: string[] = [];
  let done = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at, bytes.length);
    if (length > 0) {
      at += length;
      continue;
    }
    if (done < at) parts.push(decodeUtf8(bytes.subarray(done, at)));
    if (length < 0 && !final) return { text: parts.join(""), rest: bytes.slice(at) };
    let end = length < 0 ? bytes.length : at + 1;
    while (length === 0 && sequenceLength(bytes, at, end) < 0) end++;
    at = length < 0 ? end : Math.max(at + 1, end - 1);
    parts.push("\ufffd");
    done = at;
  }
  if (done < at) parts.push(decodeUtf8(bytes.subarray(done, at)));
  return { text: parts.join(""), rest: new Uint8Array() };
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** All tokens together become one text. */
export function byteLevelDecoder(tokens: string[]): string[] {
  return [decodeLossy(concatenate(tokens.map(bytesOfPiece)), true).text];
}

/** A streaming decoder for byte-level pieces; control tokens are left out, and a character may span one. */
export function createByteLevelStream(parts: Pick<TokenizerParts, "pieces" | "roles">): StreamingDecoder {
  let pending: Uint8Array = new Uint8Array();
  const decode = (bytes: Uint8Array, final: boolean): string => {
    const { text, rest } = decodeLossy(bytes, final);
    pending = rest;
    return text;
  };
  return {
    push(ids) {
      const bytes: Uint8Array[] = [pending];
      for (let i = 0; i < ids.length; i++) if (parts.roles[ids[i]!] !== "control") bytes.push(bytesOfPiece(parts.pieces[ids[i]!]!));
      return decode(concatenate(bytes), false);
    },
    flush: () => decode(pending, true),
  };
}

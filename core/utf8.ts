/**
 * UTF-8 to strings and back, strict. core has no DOM, hence no TextDecoder.
 * Source: Unicode 16, table 3-7 (well-formed byte sequences); RFC 3629.
 */
import { GureumError } from "./errors.ts";

/**
 * Length in bytes of the well-formed UTF-8 sequence that starts at `at`: 1 to 4; 0 where the bytes can never become
 * one; -1 where they are a proper prefix of one that `end` cuts off.
 */
export function sequenceLength(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (let i = 1; i < length; i++) {
    if (at + i >= end) return -1;
    const next = bytes[at + i]!;
    let low = 0x80;
    let high = 0xbf;
    if (i === 1) {
      if (first === 0xe0) low = 0xa0;
      else if (first === 0xed) high = 0x9f;
      else if (first === 0xf0) low = 0x90;
      else if (first === 0xf4) high = 0x8f;
    }
    if (next < low || next > high) return 0;
  }
  return length;
}

/** The code point of the well-formed sequence of `length` bytes at `at`. */
function codePoint(bytes: Uint8Array, at: number, length: number): number {
  let value = bytes[at]! & [0, 0x7f, 0x1f, 0x0f, 0x07][length]!;
  for (let i = 1; i < length; i++) value = (value << 6) | (bytes[at + i]! & 0x3f);
  return value;
}

/**
 * Bytes to a string.
 * @throws GureumError "format" at the first byte that is not well-formed UTF-8.
 */
export function decodeUtf8(bytes: Uint8Array): string {
  const parts: string[] = [];
  let units: number[] = [];
  const flush = (): void => {
    if (units.length > 0) parts.push(String.fromCharCode(...units));
    units = [];
  };
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at, bytes.length);
    if (length <= 0)
      throw new GureumError("format", { where: `byte ${at}`, what: "not UTF-8", got: `0x${bytes[at]!.toString(16).padStart(2, "0")}` });
    const point = codePoint(bytes, at, length);
    if (point > 0xffff) units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    else units.push(point);
    at += length;
    if (units.length > 4096) flush();
  }
  flush();
  return parts.join("");
}

/** A string to UTF-8. A lone surrogate becomes U+FFFD, as in the WHATWG encoder. */
export function encodeUtf8(text: string): Uint8Array {
  let out = new Uint8Array(text.length + 16);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    let point = text.codePointAt(i)!;
    if (point > 0xffff) i++;
    else if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (length + 4 > out.length) {
      const grown = new Uint8Array(out.length * 2);
      grown.set(out);
      out = grown;
    }
    if (point < 0x80) out[length++] = point;
    else {
      const extra = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
      out[length++] = [0, 0xc0, 0xe0, 0xf0][extra]! | (point >> (6 * extra));
      for (let j = extra - 1; j >= 0; j--) out[length++] = 0x80 | ((point >> (6 * j)) & 0x3f);
    }
  }
  return out.subarray(0, length);
}

/**
 * JSON straight from UTF-8 bytes, for every file a checkpoint has, in two dialects. "strict" is RFC 8259 without
 * duplicate keys and lone surrogates: safetensors headers. "python" is what Python's `json` reads, for the files that
 * Python programs write and read: NaN, Infinity and -Infinity, numbers beyond f64 (infinite), a byte-order mark, lone
 * surrogates, and duplicate keys, of which the last one holds. Integer literals are exact: a number up to 2^53 - 1, a
 * bigint beyond; literals with a fraction or exponent (and -0) are told apart as JsonReal. Nesting deeper than 128 is
 * an error in both; there are no comments.
 */
import { GureumError } from "./errors.ts";
import { decodeUtf8 } from "./utf8.ts";

/**
 * A literal with a fraction or an exponent, even where its value is an integer: 1.0, 1e2, -0; in Python's dialect also
 * NaN and infinities.
 */
export interface JsonReal {
  readonly real: number;
}
export type Json = null | boolean | number | bigint | JsonReal | string | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

const maxDepth = 128;
/** An f64 has at most 309 digits before the point; longer literals are refused before they cost time. */
const maxNumberLength = 400;

const isDigit = (c: number | undefined): boolean => c !== undefined && c >= 0x30 && c <= 0x39;

export type JsonDialect = "strict" | "python";

interface Cursor {
  readonly bytes: Uint8Array;
  readonly python: boolean;
  at: number;
  /** Whether values are made as JSON.parse gives them. */
  readonly plain?: true;
  /** No value may begin at this byte or behind it, where there is one. */
  end?: number;
}

function fail(cursor: Cursor, what: string, expected?: string): never {
  const { bytes, at } = cursor;
  const got = at >= bytes.length ? "the end" : `0x${bytes[at]!.toString(16).padStart(2, "0")}`;
  throw new GureumError("format", { where: `byte ${at}`, what, ...(expected === undefined ? {} : { expected, got }) });
}

function skipSpace(cursor: Cursor): void {
  for (;;) {
    const c = cursor.bytes[cursor.at];
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
    cursor.at++;
  }
}

function parseWord(cursor: Cursor, word: string): void {
  for (let i = 0; i < word.length; i++) {
    if (cursor.bytes[cursor.at] !== word.charCodeAt(i)) fail(cursor, "not JSON", `"${word}"`);
    cursor.at++;
  }
}

function parseNumber(cursor: Cursor): number | bigint | JsonReal {
  const { bytes } = cursor;
  const start = cursor.at;
  const digits = (): void => {
    if (!isDigit(bytes[cursor.at])) fail(cursor, "not a JSON number", "a digit");
    while (isDigit(bytes[cursor.at])) cursor.at++;
  };
  if (bytes[cursor.at] === 0x2d) cursor.at++;
  if (bytes[cursor.at] === 0x30) cursor.at++;
  else digits();
  if (isDigit(bytes[cursor.at])) fail(cursor, "not a JSON number", "no digit after a leading 0");
  let integer = true;
  if (bytes[cursor.at] === 0x2e) {
    integer = false;
    cursor.at++;
    digits();
  }
  if (bytes[cursor.at] === 0x65 || bytes[cursor.at] === 0x45) {
    integer = false;
    cursor.at++;
    if (bytes[cursor.at] === 0x2b || bytes[cursor.at] === 0x2d) cursor.at++;
    digits();
  }
  const length = cursor.at - start;
  if (integer && length <= 15 && bytes[start] !== 0x2d) {
    let small = 0;
    for (let i = start; i < cursor.at; i++) small = small * 10 + bytes[i]! - 0x30;
    return small;
  }
  if (length > maxNumberLength) {
    cursor.at = start;
    fail(cursor, `a number of ${length} characters is longer than any this format needs`);
  }
  const text = String.fromCharCode(...bytes.subarray(start, cursor.at));
  const value = Number(text);
  if (integer && text !== "-0") return Number.isSafeInteger(value) ? value : BigInt(text);
  if (!Number.isFinite(value) && !cursor.python) {
    cursor.at = start;
    fail(cursor, `the number ${text} is beyond a 64-bit float`);
  }
  return { real: value };
}

const escapes = new Map<number, string>([
  [0x22, '"'],
  [0x5c, "\\"],
  [0x2f, "/"],
  [0x62, "\b"],
  [0x66, "\f"],
  [0x6e, "\n"],
  [0x72, "\r"],
  [0x74, "\t"],
]);

function parseHex4(cursor: Cursor): number {
  let unit = 0;
  for (let i = 0; i < 4; i++) {
    const c = cursor.bytes[cursor.at] ?? 0;
    const lower = c | 0x20;
    if (isDigit(c)) unit = unit * 16 + c - 0x30;
    else if (lower >= 0x61 && lower <= 0x66) unit = unit * 16 + lower - 0x57;
    else fail(cursor, "broken \\u escape", "a hexadecimal digit");
    cursor.at++;
  }
  return unit;
}

function parseEscape(cursor: Cursor): string {
  const { bytes } = cursor;
  const c = bytes[cursor.at];
  const plain = c === undefined ? undefined : escapes.get(c);
  if (plain !== undefined) {
    cursor.at++;
    return plain;
  }
  if (c !== 0x75) fail(cursor, "unknown escape in a string", 'one of " \\ / b f n r t u');
  cursor.at++;
  const unit = parseHex4(cursor);
  if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
  const isHighBeforeEscape = unit <= 0xdbff && bytes[cursor.at] === 0x5c && bytes[cursor.at + 1] === 0x75;
  if (!isHighBeforeEscape && cursor.python) return String.fromCharCode(unit);
  if (!isHighBeforeEscape) fail(cursor, "lone surrogate in a string");
  const lowAt = cursor.at;
  cursor.at += 2;
  const low = parseHex4(cursor);
  if (low >= 0xdc00 && low <= 0xdfff) return String.fromCharCode(unit, low);
  if (!cursor.python) fail(cursor, "lone surrogate in a string");
  cursor.at = lowAt;
  return String.fromCharCode(unit);
}

function parseString(cursor: Cursor): string {
  const { bytes } = cursor;
  let start = ++cursor.at;
  let text = "";
  for (;;) {
    const c = bytes[cursor.at];
    if (c === undefined) fail(cursor, "a string does not end");
    if (c < 0x20) fail(cursor, "raw control character in a string");
    if (c === 0x22) {
      const last = decodeAt(bytes, start, cursor.at++);
      return text === "" ? last : text + last;
    }
    if (c === 0x5c) {
      text += decodeAt(bytes, start, cursor.at++);
      text += parseEscape(cursor);
      start = cursor.at;
    } else cursor.at++;
  }
}

function decodeAt(bytes: Uint8Array, start: number, end: number): string {
  if (end - start < 64) {
    let ascii = "";
    let at = start;
    // Eight at a time: each piece that is joined is an object of its own.
    for (; at + 8 <= end; at += 8) {
      const [a, b, c, d] = [bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!];
      const [e, f, g, h] = [bytes[at + 4]!, bytes[at + 5]!, bytes[at + 6]!, bytes[at + 7]!];
      if ((a | b | c | d | e | f | g | h) >= 0x80) break;
      ascii += String.fromCharCode(a, b, c, d, e, f, g, h);
    }
    for (; at < end && bytes[at]! < 0x80; at++) ascii += String.fromCharCode(bytes[at]!);
    if (at === end) return ascii;
  }
  try {
    return decodeUtf8(bytes.subarray(start, end));
  } catch (error) {
    throw new GureumError("format", { where: `string at byte ${start}`, what: "not UTF-8" }, error);
  }
}

function parseArray(cursor: Cursor, depth: number): Json[] {
  const items: Json[] = [];
  cursor.at++;
  skipSpace(cursor);
  if (cursor.bytes[cursor.at] === 0x5d) {
    cursor.at++;
    return items;
  }
  for (;;) {
    items.push(parseValue(cursor, depth));
    skipSpace(cursor);
    const c = cursor.bytes[cursor.at];
    if (c === 0x5d) break;
    if (c !== 0x2c) fail(cursor, "not JSON", '"," or "]"');
    cursor.at++;
  }
  cursor.at++;
  return items;
}

/**
 * What objects of JSON are made from: a member may have any name, and none is inherited; those with the same names
 * share a shape.
 */
const Bare = function Bare() {} as unknown as new () => Record<string, unknown>;
Bare.prototype = Object.freeze(Object.create(null));

function parsePlainObject(cursor: Cursor, depth: number): Record<string, unknown> {
  const object = new Bare();
  const seen = { has: (key: string): boolean => Object.hasOwn(object, key) };
  eachMember(cursor, seen, (key) => {
    object[key] = parseValue(cursor, depth);
  });
  return object;
}

function parseObject(cursor: Cursor, depth: number): JsonObject {
  const object: JsonObject = new Map();
  eachMember(cursor, object, (key) => void object.set(key, parseValue(cursor, depth)));
  return object;
}

/** An object's members one after the other: `take` stands at the value and parses it. */
function eachMember(cursor: Cursor, seen: { has(key: string): boolean }, take: (key: string) => void): void {
  cursor.at++;
  skipSpace(cursor);
  if (cursor.bytes[cursor.at] === 0x7d) {
    cursor.at++;
    return;
  }
  for (;;) {
    skipSpace(cursor);
    if (cursor.bytes[cursor.at] !== 0x22) fail(cursor, "not JSON", "a key in quotes");
    const keyAt = cursor.at;
    const key = parseString(cursor);
    if (!cursor.python && seen.has(key)) {
      cursor.at = keyAt;
      fail(cursor, `duplicate key ${quote(key)}`);
    }
    skipSpace(cursor);
    if (cursor.bytes[cursor.at] !== 0x3a) fail(cursor, "not JSON", '":"');
    cursor.at++;
    take(key);
    skipSpace(cursor);
    const c = cursor.bytes[cursor.at];
    if (c === 0x7d) break;
    if (c !== 0x2c) fail(cursor, "not JSON", '"," or "}"');
    cursor.at++;
  }
  cursor.at++;
}

const notFinite: readonly (readonly [string, number])[] = [
  ["NaN", Number.NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
];

/** Python's three words for what JSON has no number for; null where none of them stands here. */
function parseNotFinite(cursor: Cursor): JsonReal | null {
  const c = cursor.bytes[cursor.at];
  if (c !== 0x4e && c !== 0x49 && !(c === 0x2d && cursor.bytes[cursor.at + 1] === 0x49)) return null;
  for (const [word, real] of notFinite)
    if ([...word].every((letter, i) => cursor.bytes[cursor.at + i] === letter.charCodeAt(0))) {
      cursor.at += word.length;
      return { real };
    }
  return null;
}

function parseOrdinary(cursor: Cursor): number | bigint | JsonReal {
  if (cursor.bytes[cursor.at] !== 0x2d && !isDigit(cursor.bytes[cursor.at])) fail(cursor, "not JSON", "a value");
  return parseNumber(cursor);
}

function parseValue(cursor: Cursor, depth: number): Json {
  skipSpace(cursor);
  if (depth >= maxDepth) fail(cursor, `nested deeper than ${maxDepth}`);
  if (cursor.end !== undefined && cursor.at >= cursor.end) fail(cursor, "a member longer than any that this file needs");
  switch (cursor.bytes[cursor.at]) {
    case 0x7b:
      // A caller that asks for plain values gets them under its own type.
      return cursor.plain ? (parsePlainObject(cursor, depth + 1) as unknown as JsonObject) : parseObject(cursor, depth + 1);
    case 0x5b:
      return parseArray(cursor, depth + 1);
    case 0x22:
      return parseString(cursor);
    case 0x74:
      parseWord(cursor, "true");
      return true;
    case 0x66:
      parseWord(cursor, "false");
      return false;
    case 0x6e:
      parseWord(cursor, "null");
      return null;
    default: {
      const number = (cursor.python ? parseNotFinite(cursor) : null) ?? parseOrdinary(cursor);
      return cursor.plain ? asReal(number)! : number;
    }
  }
}

function parseWhole(cursor: Cursor): Json {
  const { bytes } = cursor;
  if (cursor.python && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) cursor.at = 3;
  const value = parseValue(cursor, 0);
  skipSpace(cursor);
  if (cursor.at < bytes.length) fail(cursor, "more after the JSON value", "the end");
  return value;
}

/**
 * The one JSON value in `bytes`.
 * @throws GureumError "format" with the byte where it breaks.
 */
export const parseJson = (bytes: Uint8Array, dialect: JsonDialect = "python"): Json =>
  parseWhole({ bytes, python: dialect === "python", at: 0 });

/**
 * The one JSON value in `bytes`, in Python's dialect, as JSON.parse gives it: f64 for every number, objects that
 * inherit nothing.
 * @throws GureumError "format" with the byte where it breaks.
 */
export const parsePlainJson = (bytes: Uint8Array): unknown => parseWhole({ bytes, python: true, plain: true, at: 0 });

/**
 * The members of the one object in `bytes` in strict JSON, each handed to `take` and then forgotten, so that a file of a million
 * takes the memory of what is kept of them. `most` bounds the bytes of a member's value.
 * @throws GureumError "format" with the byte where it breaks.
 */
export function parseMembers(bytes: Uint8Array, most: (key: string) => number, take: (key: string, value: Json) => void): void {
  const cursor: Cursor = { bytes, python: false, at: 0 };
  if (bytes[0] !== 0x7b) fail(cursor, "not JSON", "an object");
  const seen = new Set<string>();
  eachMember(cursor, seen, (key) => {
    seen.add(key);
    cursor.end = cursor.at + most(key);
    const value = parseValue(cursor, 1);
    delete cursor.end;
    take(key, value);
  });
  skipSpace(cursor);
  if (cursor.at < bytes.length) fail(cursor, "more after the JSON value", "the end");
}

/** A name as it appears in messages: in quotes, control characters escaped, shortened past 120 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 119)}…` : text);
}

/** What kind of value this is, for messages. */
export function jsonKind(value: Json | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  if (typeof value === "bigint") return value.toString().length > 40 ? "a longer integer" : value.toString();
  if (Array.isArray(value)) return "an array";
  return value instanceof Map ? "an object" : String(value.real);
}

/** Any number literal as f64 (a bigint may become infinite); null for anything else. */
export function asReal(value: Json): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return value !== null && typeof value === "object" && "real" in value ? value.real : null;
}

/** Typed access to parsed JSON: each function gives the value or says where the file is wrong. */
import { GureumError } from "../core/errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

function kind(value: unknown): string {
  return value === null
    ? "null"
    : Array.isArray(value)
      ? "an array"
      : typeof value === "object"
        ? "an object"
        : (JSON.stringify(value)?.slice(0, 60) ?? "nothing");
}

export function wrongType(where: string, expected: string, value: unknown): GureumError {
  return new GureumError("format", { where, what: "wrong type", expected, got: kind(value) });
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw wrongType(where, "an object", value);
  return value;
}

export function asArray(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(where, "an array", value);
  return value;
}

export function asString(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrongType(where, "a string", value);
  return value;
}

/** A missing or null flag is `missing`. */
export function asFlag(value: unknown, missing: boolean, where: string): boolean {
  if (value === undefined || value === null) return missing;
  if (typeof value !== "boolean") throw wrongType(where, "true or false", value);
  return value;
}

/** Ids above this are not believed: a table of that many pieces would be needed. */
const maxId = 2 ** 21;

export function asId(value: unknown, where: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= maxId)
    throw wrongType(where, `an id below ${maxId}`, value);
  return value as number;
}

/** A whole number from 0 to 2^31. */
export function asCount(value: unknown, where: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 2 ** 31) throw wrongType(where, "a whole number", value);
  return value as number;
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** RFC 4648 base64, padding optional. */
export function decodeBase64(text: string): Uint8Array {
  let end = text.length;
  while (text[end - 1] === "=") end--;
  const body = text.slice(0, end);
  if (body.length % 4 === 1) throw new GureumError("format", { what: "base64 is cut off" });
  const bytes = new Uint8Array(Math.floor((body.length * 3) / 4));
  let buffer = 0;
  let bits = 0;
  let length = 0;
  for (const digit of body) {
    const value = digits.indexOf(digit);
    if (value < 0) throw new GureumError("format", { what: "not base64", got: JSON.stringify(digit) });
    buffer = ((buffer << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = buffer >> bits;
    }
  }
  return bytes;
}

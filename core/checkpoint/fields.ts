/**
 * Typed access to the members of a JSON object: each accessor takes a default for absent or null, or names what is
 * missing.
 */
import { GureumError } from "../errors.ts";
import { asReal, type Json, type JsonObject, jsonKind } from "../json.ts";

/** Largest value of any count in a config: far beyond every model, and small enough that sizes stay exact in f64. */
const maxCount = 2 ** 24;

export interface Fields {
  /** Of the object itself, for messages; empty at the top. */
  readonly where: string;
  readonly values: JsonObject;
  /** Present and not null. */
  has(key: string): boolean;
  get(key: string): Json;
  /** An integer from 1 to `most` (2^24 where not given). */
  count(key: string, otherwise?: number, most?: number): number;
  /** A finite number over 0. */
  positive(key: string, otherwise?: number): number;
  /** A finite number, 0 or more. */
  nonNegative(key: string, otherwise?: number): number;
  boolean(key: string, otherwise?: boolean): boolean;
  string(key: string, otherwise?: string): string;
}

/**
 * @throws GureumError "format" where `value` is no object. Accessors throw "format" for a missing or mistyped member,
 * "range" for a number outside what is asked.
 */
export function fieldsOf(value: Json, where: string): Fields {
  if (!(value instanceof Map))
    throw new GureumError("format", { ...(where ? { where } : {}), what: "not a JSON object", got: jsonKind(value) });
  const path = (key: string): string => (where ? `${where}.${key}` : key);
  const mistyped = (key: string, expected: string): GureumError =>
    new GureumError("format", { where: path(key), what: "wrong type", expected, got: jsonKind(value.get(key)) });
  const outside = (key: string, expected: string): GureumError =>
    new GureumError("range", { where: path(key), what: "out of range", expected, got: jsonKind(value.get(key)) });

  const has = (key: string): boolean => (value.get(key) ?? null) !== null;
  const orElse = <T>(key: string, otherwise: T | undefined, read: (json: Json) => T): T => {
    if (has(key)) return read(value.get(key)!);
    if (otherwise !== undefined) return otherwise;
    throw new GureumError("format", { where: path(key), what: "missing" });
  };
  const real = (key: string, json: Json, expected: string, accept: (x: number) => boolean): number => {
    const number = asReal(json);
    if (number === null) throw mistyped(key, "a number");
    if (!Number.isFinite(number) || !accept(number)) throw outside(key, expected);
    return number;
  };

  return {
    where,
    values: value,
    has,
    get: (key) => value.get(key) ?? null,
    count: (key, otherwise, most = maxCount) =>
      orElse(key, otherwise, (json) => {
        if (typeof json !== "number" && typeof json !== "bigint") throw mistyped(key, "an integer");
        if (typeof json === "bigint" || json < 1 || json > most) throw outside(key, `1 to ${most}`);
        return json;
      }),
    positive: (key, otherwise) => orElse(key, otherwise, (json) => real(key, json, "a finite number over 0", (x) => x > 0)),
    nonNegative: (key, otherwise) => orElse(key, otherwise, (json) => real(key, json, "a finite number, 0 or more", (x) => x >= 0)),
    boolean: (key, otherwise) =>
      orElse(key, otherwise, (json) => {
        if (typeof json !== "boolean") throw mistyped(key, "true or false");
        return json;
      }),
    string: (key, otherwise) =>
      orElse(key, otherwise, (json) => {
        if (typeof json !== "string") throw mistyped(key, "a string");
        return json;
      }),
  };
}

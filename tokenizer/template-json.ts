/**
 * JSON as Python's `json` gives it to a template: 1.0 is a float and 1 an int, of any size; NaN and infinities; objects keep the
 * order of their keys, also of those that look like numbers. JavaScript has one number for 1 and 1.0, hence a type for floats.
 */
import { wrongType } from "../core/arguments.ts";
import { type Json, parseJson } from "../core/json.ts";

/** A float of Python's, for numbers that JavaScript would take for an int: `new PythonFloat(1)` is written 1.0. */
export class PythonFloat {
  /** What it is. */
  readonly value: number;
  /** Takes the number as it is. */
  constructor(value: number) {
    this.value = value;
  }
}

/** Objects as Maps, which keep the order of any keys. */
function ordered(json: Json): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(ordered);
  return json instanceof Map ? new Map([...json].map(([key, member]) => [key, ordered(member)])) : new PythonFloat(json.real);
}

/** Objects outside of any other as records, for whoever looks into them: messages and the parts of their contents. */
function records(json: Json): unknown {
  if (Array.isArray(json)) return json.map(records);
  if (!(json instanceof Map)) return ordered(json);
  const record: Record<string, unknown> = Object.create(null);
  for (const [key, member] of json) record[key] = Array.isArray(member) && key === "content" ? records(member) : ordered(member);
  return record;
}

/** Messages, tools, documents or variables of a chat template, from the bytes of JSON. @throws GureumError "format" with the byte, "usage" */
export function parseTemplateJson(bytes: Uint8Array): unknown {
  if (!(bytes instanceof Uint8Array)) throw wrongType("parseTemplateJson", "bytes", "a Uint8Array", bytes);
  return records(parseJson(bytes));
}

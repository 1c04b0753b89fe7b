/**
 * Python's `str.strip` and `range`, as chat templates use them.
 * Sources: docs.python.org, "Built-in Types"; jinja2 `sandbox.py` (MAX_RANGE).
 */
import { isPythonSpace, trimUnits } from "./unicode.ts";

/** `text.strip(chars)`, `lstrip`, `rstrip`. @throws Error for characters that are no string. */
export function pythonStrip(method: "strip" | "lstrip" | "rstrip", value: string, chars?: unknown): string {
  const atStart = method !== "rstrip";
  const atEnd = method !== "lstrip";
  if (chars === undefined || chars === null) return trimUnits(value, isPythonSpace, atStart, atEnd);
  if (typeof chars !== "string") throw new Error(`${method}() takes a string`);
  const members = new Set(chars);
  const characters = [...value];
  let start = 0;
  let end = characters.length;
  if (atStart) while (start < end && members.has(characters[start]!)) start++;
  if (atEnd) while (end > start && members.has(characters[end - 1]!)) end--;
  return characters.slice(start, end).join("");
}

/** Jinja's sandbox refuses longer ranges. */
const maxRange = 100_000;

/** @throws Error for more than 100,000 numbers or a step of 0. */
export function pythonRange(first: number, stop?: number, step?: number): number[] {
  const by = step ?? 1;
  const [from, to] = stop === undefined || stop === null ? [0, first] : [first, stop];
  if (![from, to, by].every(Number.isInteger)) throw new Error("range() takes whole numbers");
  if (by === 0) throw new Error("range() step must not be zero");
  const length = Math.max(0, Math.ceil((to - from) / by));
  if (length > maxRange) throw new Error(`range too big: ${length} numbers, at most ${maxRange}`);
  return Array.from({ length }, (_, i) => from + i * by);
}

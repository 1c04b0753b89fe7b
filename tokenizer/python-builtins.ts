/**
 * What a chat template expects of Python: str.strip, `==`, range and strftime, for arguments as @huggingface/jinja hands them on
 * (strings, numbers, booleans, null, undefined; arrays and Maps of its own value objects).
 * Sources: docs.python.org, "Built-in Types" and "time.strftime"; jinja2 `sandbox.py` (MAX_RANGE).
 */
import { isPythonSpace, trimUnits } from "./unicode.ts";

/**
 * `text.strip(chars)`, `lstrip`, `rstrip`, and the filter `trim` (which takes any value as a string).
 * @throws Error where the methods are called on something that is no string.
 */
export function pythonStrip(method: string, value: unknown, chars?: unknown): string {
  if (typeof value !== "string") {
    if (method === "trim" && (typeof value === "number" || value === undefined)) return value === undefined ? "" : String(value);
    throw new Error(`a value of type ${value === null ? "none" : typeof value} has no ${method}()`);
  }
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

/** An array's or Map's member is a value object; its content is in `value`. */
const unwrap = (member: unknown): unknown =>
  typeof member === "object" && member !== null && "value" in member ? (member as { value: unknown }).value : member;

/** Python's `==`: by kind and content; True is 1 and False is 0; nothing else crosses kinds. */
export function pythonEqual(a: unknown, b: unknown): boolean {
  const left = typeof a === "boolean" ? Number(a) : a;
  const right = typeof b === "boolean" ? Number(b) : b;
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((member, i) => pythonEqual(unwrap(member), unwrap(right[i])));
  if (left instanceof Map && right instanceof Map)
    return (
      left.size === right.size && [...left].every(([key, member]) => right.has(key) && pythonEqual(unwrap(member), unwrap(right.get(key))))
    );
  return left === right;
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
  if (length > maxRange) throw new Error(`range() is too long: ${length} numbers, at most ${maxRange}`);
  return Array.from({ length }, (_, i) => from + i * by);
}

const months = "January February March April May June July August September October November December".split(" ");
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** `strftime` in the C locale, for the directives without locale: %a %A %b %B %d %H %I %j %m %M %p %S %y %Y %%. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return format.replace(/%(.)/gsu, (directive, letter: string) => {
    switch (letter) {
      case "a":
        return days[date.getDay()]!.slice(0, 3);
      case "A":
        return days[date.getDay()]!;
      case "b":
        return months[date.getMonth()]!.slice(0, 3);
      case "B":
        return months[date.getMonth()]!;
      case "d":
        return two(date.getDate());
      case "H":
        return two(date.getHours());
      case "I":
        return two(date.getHours() % 12 || 12);
      case "j": {
        const midnight = new Date(date.getFullYear(), date.getMonth(), date.getDate());
        return String(Math.round((midnight.getTime() - new Date(date.getFullYear(), 0, 1).getTime()) / 86_400_000) + 1).padStart(3, "0");
      }
      case "m":
        return two(date.getMonth() + 1);
      case "M":
        return two(date.getMinutes());
      case "p":
        return date.getHours() < 12 ? "AM" : "PM";
      case "S":
        return two(date.getSeconds());
      case "y":
        return two(date.getFullYear() % 100);
      case "Y":
        return String(date.getFullYear());
      case "%":
        return "%";
      default:
        return directive;
    }
  });
}

/** The template function `strftime_now(format)`. */
export function strftimeNow(format: string): string {
  return strftime(new Date(), String(format));
}

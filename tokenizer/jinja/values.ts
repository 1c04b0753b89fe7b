/**
 * Python's values in JavaScript's: int is bigint, float is number, None is null, jinja's Undefined is undefined, list an array,
 * dict a Map. Their truth, order, and text by `str` and `repr`.
 * Source: docs.python.org, "Built-in Types".
 */
import { PythonFloat } from "../template-json.ts";
import { exceed, fail, refuse } from "./errors.ts";

export type Keywords = ReadonlyMap<string, Value>;
export type Callable = (args: readonly Value[], keywords: Keywords) => Value;
export type Value = undefined | null | boolean | bigint | number | string | Markup | Value[] | Map<Value, Value> | Namespace | Callable;

/** A sequence that is no list. */
export class Sequence extends Array<Value> {
  kind = "tuple";
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
}
export interface Namespace {
  readonly attributes: Map<string, Value>;
}
/** What `safe` makes: a str that `+` joins with others escaped. Source: markupsafe `Markup`. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
/** A Markup as the str that it is. */
export const plain = (value: Value): Exclude<Value, Markup> => (value instanceof Markup ? value.text : value);
const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;" };
/** A value's text with HTML's signs as entities; a Markup as it is. */
export const escapeMarkup = (value: Value): Markup =>
  value instanceof Markup ? value : new Markup(str(value).replace(/[&<>'"]/g, (sign) => entities[sign]!));

export function sequence(kind: string, items: Iterable<Value>): Sequence {
  const made = new Sequence();
  for (const item of items) made.push(item);
  made.kind = kind;
  return made;
}
/** Values and texts that a rendering may walk through inside others: lists that hold a list twice are walked as often as they are written. */
const maxWalked = 2_000_000;
let walked = 0;
/** A rendering begins. */
export function beginWalks(): void {
  walked = 0;
}
/** Counts a value on the way, and the work that its size makes. @throws GureumError "template" */
export function walk(given: Value): void {
  const value = plain(given);
  count(1 + (typeof value === "string" ? value.length / 16 : 0));
}
/** Counts what a filter or test reads or makes as a whole. @throws GureumError "template" */
export function weigh(given: Value): void {
  const value = plain(given);
  const members = Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0;
  count(1 + (typeof value === "string" ? value.length / 32 : members / 8));
}
function count(work: number): void {
  walked += work;
  if (walked > maxWalked) exceed(`a rendering that goes through more than ${maxWalked} values`);
}

export const isNamespace = (value: Value): value is Namespace => typeof value === "object" && value !== null && "attributes" in value;
export const kindOf = (value: Value): string => {
  if (value instanceof Markup) return "str";
  if (value === undefined) return "undefined";
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return value instanceof Sequence ? value.kind : "list";
  if (value instanceof Map) return "dict";
  if (typeof value === "object") return "namespace";
  return { boolean: "bool", bigint: "int", number: "float", string: "str", function: "function" }[typeof value as "string"];
};

/** Digits that Python reads as an int (sys.int_info.default_max_str_digits). */
const maxDigits = 4300;
/** An int by its digits. @throws GureumError "template" */
export const intOf = (digits: string): bigint => (digits.length > maxDigits ? exceed("an integer of too many digits") : BigInt(digits));

/** Plain data as the caller has it. @throws GureumError "template" for what is none. */
export function toValue(data: unknown): Value {
  if (typeof data === "number") return Number.isSafeInteger(data) && !Object.is(data, -0) ? BigInt(data) : data;
  if (data instanceof PythonFloat) return data.value;
  if (Array.isArray(data)) return data.map(toValue);
  if (data instanceof Map) return new Map([...data].map(([key, value]) => [toValue(key), toValue(value)]));
  if (typeof data === "object" && data !== null) return new Map(Object.entries(data).map(([key, value]) => [key, toValue(value)]));
  if (typeof data === "symbol") return fail("a variable of the template is a symbol");
  return data as Value;
}

export function truth(value: Value): boolean {
  if (value instanceof Markup) return value.text !== "";
  if (Array.isArray(value)) return value.length > 0 || kindOf(value) === "generator";
  if (value instanceof Map) return value.size > 0;
  return Number.isNaN(value) || Boolean(value);
}

/** An int, float or bool as a number to calculate with; undefined for other values. */
export const numeric = (value: Value): bigint | number | undefined =>
  typeof value === "boolean" ? BigInt(value) : typeof value === "bigint" || typeof value === "number" ? value : undefined;

export function equal(left: Value, right: Value): boolean {
  const [a, b] = [plain(left), plain(right)];
  walk(a);
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return x >= y && x <= y;
  if (Array.isArray(a) && Array.isArray(b))
    return kindOf(a) === kindOf(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, item]) => b.has(key) && equal(item, b.get(key)));
  return a === b;
}

const codePoints = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0)!);

/** Below zero for a < b. @throws GureumError "template" where Python has no order. */
export function compare(left: Value, right: Value): number {
  const [a, b] = [plain(left), plain(right)];
  walk(a);
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x >= y ? 0 : Number.NaN;
  if (typeof a === "string" && typeof b === "string") {
    if (!/[\ud800-\udfff]/.test(a + b)) return a < b ? -1 : a > b ? 1 : 0;
    return compareItems(codePoints(a), codePoints(b));
  }
  if (Array.isArray(a) && Array.isArray(b) && kindOf(a) === kindOf(b)) return compareItems(a, b);
  return fail(`'<' is not defined between ${kindOf(a)} and ${kindOf(b)}`);
}
function compareItems(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (!equal(a[i], b[i])) return compare(a[i], b[i]);
  return a.length - b.length;
}

/** The members that a loop visits. A generator is used up. @throws GureumError "template" */
export function iterate(given: Value): Value[] {
  const value = plain(given);
  if (value === undefined) return [];
  if (typeof value === "string") {
    count(value.length / 4);
    return Array.from(value);
  }
  if (Array.isArray(value)) return kindOf(value) === "generator" ? [...value.splice(0)] : [...value];
  if (value instanceof Map) return [...value.keys()];
  return fail(`'${kindOf(value)}' is not iterable`);
}

/** @throws GureumError "template" where Python has no `len`. */
export function lengthOf(given: Value): number {
  const value = plain(given);
  if (value === undefined) return 0;
  if (typeof value === "string") return /[\ud800-\udfff]/.test(value) ? Array.from(value).length : value.length;
  if (Array.isArray(value) && kindOf(value) !== "generator") return value.length;
  if (value instanceof Map) return value.size;
  return fail(`'${kindOf(value)}' has no length`);
}

/** The shortest decimal that reads back, by Python's rule for the exponent. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const plain =
    power >= 0 || value === 0 ? BigIntOrDecimal(value) : value.toFixed(Math.max(0, digits.replace(/[-.]/g, "").length - 1 - power));
  return plain.includes(".") ? plain : `${plain}.0`;
}
const BigIntOrDecimal = (value: number): string => (Number.isInteger(value) ? BigInt(value).toString() : String(value));

/** Python's `repr` of a string. */
export function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\'"]|[^\x20-\x7e]/gu, (character) => {
    if (character === "\\" || character === quote) return `\\${character}`;
    if (character === "'" || character === '"') return character;
    const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
    if (named) return named;
    if (!/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u.test(character)) return character;
    const code = character.codePointAt(0)!;
    const hex = (width: number): string => code.toString(16).padStart(width, "0");
    return code < 0x100 ? `\\x${hex(2)}` : code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
  });
  return quote + body + quote;
}

export function repr(value: Value): string {
  walk(value);
  if (typeof value === "string") return reprText(value);
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`;
  if (value === undefined) return "Undefined";
  if (Array.isArray(value)) {
    const kind = kindOf(value);
    const items = (): string => value.map(repr).join(", ");
    if (kind === "list") return `[${items()}]`;
    if (kind === "tuple") return `(${items()}${value.length === 1 ? "," : ""})`;
    if (kind.startsWith("dict_")) return `${kind}([${items()}])`;
    return kind.startsWith("range") ? kind : refuse(`a ${kind} as text`);
  }
  if (value instanceof Map) return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(", ")}}`;
  if (typeof value === "function" || isNamespace(value)) return refuse(`a ${kindOf(value)} as text`);
  return str(value);
}

/** Python's `str`, which is what `{{ }}` writes. */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  if (value === undefined) return "";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return floatText(value);
  return repr(value);
}

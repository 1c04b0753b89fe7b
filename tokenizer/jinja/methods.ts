/** Methods of Python's str, list, tuple and dict that change nothing; jinja2's sandbox refuses the others. Source: docs.python.org, "Built-in Types". */
import { pythonStrip } from "../python-builtins.ts";
import { isPythonSpace } from "../unicode.ts";
import { keyOf } from "./access.ts";
import { asInt, asText, bind } from "./arguments.ts";
import { fail, refuse } from "./errors.ts";
import { formatText } from "./format.ts";
import { checkLength, joinTexts } from "./operators.ts";
import {
  type Callable,
  equal,
  escapeMarkup,
  iterate,
  type Keywords,
  kindOf,
  lengthOf,
  Markup,
  plain,
  sequence,
  truth,
  type Value,
} from "./values.ts";

type Method<T> = (self: T, args: readonly Value[], keywords: Keywords) => Value;

/** An upper-case letter after what is no letter, lower case elsewhere. */
const title = (text: string): string =>
  text.replace(/\p{Cased}+/gu, (letters) => {
    const [first = ""] = letters;
    return titleCase(first) + letters.slice(first.length).toLowerCase();
  });
export const capitalize = (text: string): string => {
  const [first = ""] = text;
  return titleCase(first) + text.slice(first.length).toLowerCase();
};
/** A letter's title case, which is its upper case but for digraphs and ligatures. */
function titleCase(letter: string): string {
  if (/[\u01c4-\u01cc\u01f1-\u01f3\u1f80-\u1fff]/.test(letter)) return refuse(`the title case of ${letter}`);
  const [first = "", ...rest] = letter.toUpperCase();
  return first + rest.join("").toLowerCase();
}

/** The words between runs of white space. At most `limit` splits from one end, what is left keeps its inner blanks. */
function splitBlanks(text: string, limit: number, fromEnd: boolean): string[] {
  const words: [start: number, end: number][] = [];
  for (let i = 0; i < text.length; i++) {
    if (isPythonSpace(text.charCodeAt(i))) continue;
    if (words.at(-1)?.[1] === i) words.at(-1)![1] = i + 1;
    else words.push([i, i + 1]);
  }
  const cut = ([start, end]: [number, number]): string => text.slice(start, end);
  if (limit < 0 || words.length <= limit) return words.map(cut);
  if (fromEnd) {
    const at = words.length - limit;
    return [text.slice(0, words[at - 1]![1]), ...words.slice(at).map(cut)];
  }
  return [...words.slice(0, limit).map(cut), text.slice(words[limit]![0])];
}

function split(name: string, self: string, args: readonly Value[], keywords: Keywords): string[] {
  const [separator, max] = bind(name, ["sep", "maxsplit"], args, keywords);
  const limit = max === undefined ? -1 : asInt(name, max);
  if (separator === undefined || separator === null) return splitBlanks(self, limit, name === "rsplit");
  const by = asText(name, separator);
  if (by === "") return fail("an empty separator");
  const parts = self.split(by);
  if (limit < 0 || parts.length <= limit + 1) return parts;
  if (name === "split") return [...parts.slice(0, limit), parts.slice(limit).join(by)];
  return [parts.slice(0, parts.length - limit).join(by), ...parts.slice(parts.length - limit)];
}

export function replace(self: string, args: readonly Value[], keywords: Keywords): string {
  const [from, to, max] = bind("replace", ["old", "new", "count"], args, keywords, 2);
  const [old, fresh] = [asText("replace", from), asText("replace", to)];
  const limit = max === undefined || max === null ? -1 : asInt("replace", max);
  if (limit === 0) return self;
  const parts = old === "" ? ["", ...Array.from(self), ""] : self.split(old);
  const count = limit < 0 ? parts.length - 1 : Math.min(limit, parts.length - 1);
  checkLength(self.length + count * (fresh.length - old.length));
  return parts.slice(0, count + 1).join(fresh) + (count + 1 < parts.length ? old + parts.slice(count + 1).join(old) : "");
}

/** Whether the text, or a piece of it, starts or ends with one of the strings given. */
function affix(name: "startsWith" | "endsWith"): Method<string> {
  return (self, args) => {
    const [given, start, end] = args;
    if (args.length < 1 || args.length > 3) return fail(`${name.toLowerCase()} takes 1 to 3 arguments`);
    const text = start === undefined && end === undefined ? self : piece(self, start, end);
    const all = kindOf(given) === "tuple" ? (given as Value[]) : [given];
    return all.some((one) => text[name](asText(name.toLowerCase(), one)));
  };
}
function piece(self: string, start: Value, end: Value): string {
  const characters = Array.from(self);
  const at = (bound: Value): number | undefined => (bound === undefined || bound === null ? undefined : asInt("a bound", bound));
  return characters.slice(at(start), at(end)).join("");
}

function find(name: string, self: string, args: readonly Value[]): Value {
  if (args.length > 1) return refuse(`${name}() with bounds`);
  const text = asText(name, args[0]);
  const at = name.startsWith("r") ? self.lastIndexOf(text) : self.indexOf(text);
  if (at < 0 && name.endsWith("index")) return fail("the substring is not found");
  return at < 0 ? -1n : BigInt(lengthOf(self.slice(0, at)));
}

const every =
  (pattern: RegExp): Method<string> =>
  (self) =>
    self !== "" && pattern.test(self);

/** A text in at least `width` characters; `left` says how many of those that are missing go before it. */
const pad =
  (name: string, left: (missing: number, width: number) => number): Method<string> =>
  (self, args) => {
    if (args.length < 1 || args.length > 2) return fail(`${name} takes 1 or 2 arguments`);
    const [size, fill] = [asInt(name, args[0]), args.length > 1 ? asText(name, args[1]) : " "];
    if (lengthOf(fill) !== 1) return fail(`${name} fills with one character`);
    const missing = Math.max(0, size - lengthOf(self));
    checkLength(self.length + missing);
    const before = left(missing, size);
    return fill.repeat(before) + self + fill.repeat(missing - before);
  };

/** Python's line ends; the separators U+001C to U+001E are among them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are meant
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;
function splitLines(self: string, args: readonly Value[], keywords: Keywords): string[] {
  const [keeps] = bind("splitlines", ["keepends"], args, keywords);
  const lines: string[] = [];
  let start = 0;
  for (const { 0: end, index } of self.matchAll(lineEnd)) {
    lines.push(self.slice(start, keeps === undefined || !truth(keeps) ? index : index + end.length));
    start = index + end.length;
  }
  return start < self.length ? [...lines, self.slice(start)] : lines;
}

/** The text before, of and after the first or last separator. */
function partition(name: "partition" | "rpartition", self: string, args: readonly Value[]): Value {
  if (args.length !== 1) return fail(`${name} takes one argument`);
  const by = asText(name, args[0]);
  if (by === "") return fail("an empty separator");
  const at = name === "partition" ? self.indexOf(by) : self.lastIndexOf(by);
  if (at < 0) return sequence("tuple", name === "partition" ? [self, "", ""] : ["", "", self]);
  return sequence("tuple", [self.slice(0, at), by, self.slice(at + by.length)]);
}

const strings: Readonly<Record<string, Method<string>>> = {
  strip: (self, args) => pythonStrip("strip", self, args[0]),
  lstrip: (self, args) => pythonStrip("lstrip", self, args[0]),
  rstrip: (self, args) => pythonStrip("rstrip", self, args[0]),
  split: (self, args, keywords) => split("split", self, args, keywords),
  rsplit: (self, args, keywords) => split("rsplit", self, args, keywords),
  replace,
  startswith: affix("startsWith"),
  endswith: affix("endsWith"),
  upper: (self) => self.toUpperCase(),
  lower: (self) => self.toLowerCase(),
  title,
  capitalize,
  join: (self, args) =>
    joinTexts(
      iterate(args[0]).map((part) => asText("join", part)),
      self,
    ),
  format: formatText,
  count: (self, args) => {
    if (args.length > 1) return refuse("count() with bounds");
    const text = asText("count", args[0]);
    return BigInt(text === "" ? lengthOf(self) + 1 : self.split(text).length - 1);
  },
  find: (self, args) => find("find", self, args),
  rfind: (self, args) => find("rfind", self, args),
  index: (self, args) => find("index", self, args),
  removeprefix: (self, args) => (self.startsWith(asText("removeprefix", args[0])) ? self.slice((args[0] as string).length) : self),
  removesuffix: (self, args) =>
    self.endsWith(asText("removesuffix", args[0])) ? self.slice(0, self.length - (args[0] as string).length) : self,
  ljust: pad("ljust", () => 0),
  rjust: pad("rjust", (missing) => missing),
  center: pad("center", (missing, width) => (missing >> 1) + (missing & width & 1)),
  zfill: (self, args) => {
    if (args.length !== 1) return fail("zfill takes one argument");
    const missing = Math.max(0, asInt("zfill", args[0]) - lengthOf(self));
    checkLength(self.length + missing);
    const sign = /^[-+]/.exec(self)?.[0] ?? "";
    return sign + "0".repeat(missing) + self.slice(sign.length);
  },
  splitlines: splitLines,
  partition: (self, args) => partition("partition", self, args),
  rpartition: (self, args) => partition("rpartition", self, args),
  isspace: (self) => self !== "" && Array.from(self).every((one) => isPythonSpace(one.codePointAt(0)!)),
  isascii: (self) => /^[\0-\x7f]*$/.test(self),
  isalpha: every(/^\p{L}+$/u),
  isdecimal: every(/^\p{Nd}+$/u),
  islower: (self) => /\p{Cased}/u.test(self) && !/[\p{Uppercase}\p{Lt}]/u.test(self),
  isupper: (self) => /\p{Cased}/u.test(self) && !/[\p{Lowercase}\p{Lt}]/u.test(self),
  isdigit: every(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]+$/u),
};

const lists: Readonly<Record<string, Method<Value[]>>> = {
  index: (self, args) => {
    if (args.length > 1) return refuse("index() with bounds");
    const at = self.findIndex((one) => equal(one, args[0]));
    return at < 0 ? fail("the value is not in the list") : BigInt(at);
  },
  count: (self, args) => BigInt(self.filter((one) => equal(one, args[0])).length),
  copy: (self) => [...self],
};

const dicts: Readonly<Record<string, Method<Map<Value, Value>>>> = {
  items: (self) =>
    sequence(
      "dict_items",
      [...self].map((entry) => sequence("tuple", entry)),
    ),
  keys: (self) => sequence("dict_keys", self.keys()),
  values: (self) => sequence("dict_values", self.values()),
  get: (self, args) => {
    if (args.length < 1 || args.length > 2) return fail("get takes 1 or 2 arguments");
    const key = keyOf(args[0]);
    return self.has(key) ? self.get(key) : args.length > 1 ? args[1] : null;
  },
  copy: (self) => new Map(self),
};

const withoutArguments = new Set(
  "upper lower title capitalize swapcase casefold isdigit isdecimal isnumeric isalpha isalnum isspace isascii isupper islower istitle items keys values copy".split(
    " ",
  ),
);
const changing = /^(append|extend|insert|pop|remove|clear|sort|reverse|update|setdefault|popitem)$/;
const unsupported =
  /^(isalnum|casefold|swapcase|isnumeric|istitle|rindex|encode|maketrans|translate|expandtabs|isidentifier|isprintable|format_map|fromkeys|decode)$/;

/** A method of what `safe` made: its texts are such again, and what `replace` and `join` put in is escaped. */
function markupMethod(self: Markup, name: string): Callable | undefined {
  const own = method(self.text, name);
  if (own === undefined) return undefined;
  if (/^(format|ljust|rjust|center)$/.test(name)) return () => refuse(`${name}() of what \`safe\` made`);
  const marked = (value: Value): Value =>
    typeof value === "string" ? new Markup(value) : kindOf(value) === "tuple" ? sequence("tuple", (value as Value[]).map(marked)) : value;
  return (args, keywords) => {
    const given = args.map((one, i) => (name === "replace" && i === 1 ? escapeMarkup(one) : one));
    if (name === "join") given[0] = iterate(given[0]).map(escapeMarkup);
    const made = own(given, keywords);
    return kindOf(made) === "list" ? (made as Value[]).map(marked) : marked(made);
  };
}

/** A value's method of this name; undefined where its type has none. @throws GureumError "template" */
export function method(self: Value, name: string): Callable | undefined {
  if (self instanceof Markup) return markupMethod(self, name);
  const kind = kindOf(self);
  const table = (kind === "str" ? strings : kind === "list" || kind === "tuple" ? lists : kind === "dict" ? dicts : {}) as Record<
    string,
    Method<Value>
  >;
  const own = Object.hasOwn(table, name) && !(kind === "tuple" && name === "copy") ? table[name] : undefined;
  if (own)
    return (args, keywords) => {
      if (withoutArguments.has(name) && args.length + keywords.size > 0) return fail(`${name}() takes no arguments`);
      if (/strip$/.test(name) && args.length > 1) return fail(`${name}() takes one argument`);
      return own(self, args.map(plain), keywords);
    };
  if (/^(list|dict)$/.test(kind) && changing.test(name)) return () => fail(`${name}() changes a ${kind}, which the sandbox forbids`);
  return unsupported.test(name) && /^(str|dict)$/.test(kind) ? () => refuse(`${name}()`) : undefined;
}

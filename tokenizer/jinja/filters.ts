/** Jinja's filters and tests. Source: jinja2 3.1 `filters.py`, `tests.py`; transformers' `tojson`. */
import { pythonStrip } from "../python-builtins.ts";
import { item } from "./access.ts";
import { asInt, asText, bind } from "./arguments.ts";
import { fail, refuse } from "./errors.ts";
import { percentFormat, toJson } from "./format.ts";
import { capitalize, replace } from "./methods.ts";
import { binary, checkItems, checkLength, compareBy, isIn, joinTexts } from "./operators.ts";
import {
  compare,
  equal,
  escapeMarkup,
  intOf,
  iterate,
  type Keywords,
  kindOf,
  lengthOf,
  Markup,
  numeric,
  plain,
  sequence,
  str,
  truth,
  type Value,
  weigh,
} from "./values.ts";

type Filter = (value: Value, args: readonly Value[], keywords: Keywords) => Value;
const none: Keywords = new Map();
const generator = (items: Iterable<Value>): Value => sequence("generator", items);

/** What `attribute="a.b.0"` takes of a value. */
const getter = (path: Value): ((value: Value) => Value) => {
  if (path === undefined || path === null) return (value) => value;
  const steps =
    typeof path === "bigint"
      ? [path]
      : asText("attribute", path)
          .split(".")
          .map((step) => (/^\d+$/.test(step) ? intOf(step) : step));
  return (value) => steps.reduce<Value>((at, step) => item(at, step), value);
};
const folded = (given: Value): Value => {
  const value = plain(given);
  weigh(value);
  return typeof value === "string" ? value.toLowerCase() : value;
};
const caseKey = (sensitive: Value) => (truth(sensitive) ? (value: Value) => value : folded);

function sorted(items: Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = items.map((value) => ({ value, key: key(value) }));
  return keyed.sort((a, b) => (reverse ? compare(b.key, a.key) : compare(a.key, b.key))).map(({ value }) => value);
}

/** What map, select and their like visit: nothing of a value that counts as false, None and 0 among them. */
const visited = (value: Value): Value[] => (truth(value) ? iterate(value) : []);

/** map(attribute=…), map("filter", …). */
const map: Filter = (value, args, keywords) => {
  if (args.length === 0) {
    const [attribute, otherwise] = bind("map", ["attribute", "default"], args, keywords);
    if (attribute === undefined) return fail("map needs a filter or an attribute");
    const get = getter(attribute);
    return generator(
      visited(value)
        .map(get)
        .map((one) => (one === undefined ? otherwise : one)),
    );
  }
  const [name, ...rest] = args;
  return generator(visited(value).map((one) => applyFilter(asText("map", name), one, rest, keywords)));
};

const selecting =
  (what: string, byAttribute: boolean, keeps: boolean): Filter =>
  (value, args, keywords) => {
    const [first, ...others] = byAttribute ? args : [null, ...args];
    if (byAttribute && first === undefined) return fail(`${what} needs an attribute`);
    const get = getter(first);
    const [test, ...rest] = others;
    const holds = (one: Value): boolean => (test === undefined ? truth(get(one)) : applyTest(asText(what, test), get(one), rest));
    if (keywords.size > 0) return fail(`${what} takes no keywords`);
    return generator(visited(value).filter((one) => holds(one) === keeps));
  };

const toInt: Filter = (value, args, keywords) => {
  const [otherwise = 0n, base = 10n] = bind("int", ["default", "base"], args, keywords);
  if (base !== 10n) return refuse("int with a base");
  if (value === undefined) return fail("int of an undefined value");
  const number = numeric(value);
  if (typeof number === "bigint") return number;
  if (typeof number === "number")
    return Number.isFinite(number) ? BigInt(Math.trunc(number)) : Number.isNaN(number) ? otherwise : fail("int of infinity");
  const text = typeof value === "string" ? pythonStrip("strip", value).replace(/(\d)_(?=\d)/g, "$1") : "";
  if (/^[-+]?\d+$/.test(text)) return intOf(text.replace("+", ""));
  const real = typeof value === "string" ? readFloat(text) : undefined;
  if (real === undefined) return otherwise;
  return Number.isFinite(real) ? BigInt(Math.trunc(real)) : Number.isNaN(real) ? otherwise : fail("int of infinity");
};
/** A text as a float; undefined where it is none. */
function readFloat(text: string): number | undefined {
  if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) return Number(text);
  if (/^[-+]?inf(inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return /^[-+]?nan$/i.test(text) ? Number.NaN : undefined;
}
const toFloat: Filter = (value, args, keywords) => {
  const [otherwise = 0] = bind("float", ["default"], args, keywords);
  if (value === undefined) return fail("float of an undefined value");
  const number = numeric(value);
  if (number !== undefined) return Number(number);
  return (typeof value === "string" ? readFloat(pythonStrip("strip", value).replace(/(\d)_(?=\d)/g, "$1")) : undefined) ?? otherwise;
};

const indent: Filter = (value, args, keywords) => {
  const [size = 4n, first, blank] = bind("indent", ["width", "first", "blank"], args, keywords);
  const by =
    typeof size === "string"
      ? size
      : " ".repeat(asInt("indent", size) > 0xffff ? fail("an indent beyond 65535") : Math.max(0, asInt("indent", size)));
  const lines = asText("indent", value).split("\n");
  checkLength(lines.length * by.length);
  return lines.map((line, i) => ((i === 0 ? truth(first) : line !== "" || truth(blank)) ? by + line : line)).join("\n");
};

const tojson: Filter = (value, args, keywords) => {
  const [ascii, size, separators, sorts] = bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], args, keywords);
  const isIndented = size !== undefined && size !== null;
  if (separators !== undefined && separators !== null && (!Array.isArray(separators) || separators.length !== 2))
    return fail("tojson's separators are two strings");
  const [between, after] = Array.isArray(separators) ? separators.map((one) => asText("separators", one)) : [isIndented ? "," : ", ", ": "];
  const by = !isIndented ? null : typeof size === "string" ? size : " ".repeat(Math.min(0xffff, Math.max(0, asInt("indent", size))));
  return toJson(value, { ascii: truth(ascii), indent: by, separators: [between!, after!], sorted: truth(sorts) });
};

const edge =
  (at: number): Filter =>
  (value) => {
    if (at < 0 && kindOf(value) === "generator") return fail("last of a generator");
    return iterate(value).at(at);
  };
const plainText = (value: Value): string => str(value);
const onText =
  (name: string, make: (text: string) => string): Filter =>
  (value, args, keywords) => {
    bind(name, [], args, keywords);
    return make(plainText(value));
  };
const defaultFilter: Filter = (value, args, keywords) => {
  const [otherwise = "", boolean] = bind("default", ["default_value", "boolean"], args, keywords);
  return value === undefined || (truth(boolean) && !truth(value))
    ? args.length > 0 || keywords.has("default_value")
      ? (args[0] ?? otherwise)
      : ""
    : value;
};
/** The least or the largest, the first of several; undefined where there is none. */
const extreme =
  (name: string, isBefore: (a: Value, b: Value) => boolean): Filter =>
  (value, args, keywords) => {
    const [sensitive, attribute] = bind(name, ["case_sensitive", "attribute"], args, keywords);
    const [key, get] = [caseKey(sensitive), getter(attribute)];
    const [first, ...rest] = iterate(value);
    return rest.reduce((best, one) => (isBefore(key(get(one)), key(get(best))) ? one : best), first);
  };
const length: Filter = (value) => BigInt(lengthOf(value));

const filters: Readonly<Record<string, Filter>> = {
  abs: (value) => {
    const number = numeric(value);
    if (number === undefined) return fail(`abs of ${kindOf(value)}`);
    return number < 0 || Object.is(number, -0) ? -number : number;
  },
  batch: (value, args, keywords) => {
    const [size, fill] = bind("batch", ["linecount", "fill_with"], args, keywords, 1);
    const by = asInt("batch", size);
    if (by < 1) return fail("batch takes a size from 1");
    const items = iterate(value);
    const rows = Array.from({ length: Math.ceil(items.length / by) }, (_, i) => items.slice(i * by, (i + 1) * by));
    const last = rows.at(-1);
    if (last && fill !== undefined && fill !== null) {
      checkItems(by);
      while (last.length < by) last.push(fill);
    }
    for (const row of rows) weigh(row);
    return generator(rows);
  },
  capitalize: onText("capitalize", capitalize),
  count: length,
  d: defaultFilter,
  e: escapeMarkup,
  escape: escapeMarkup,
  default: defaultFilter,
  dictsort: (value, args, keywords) => {
    const [sensitive, by = "key", reverse] = bind("dictsort", ["case_sensitive", "by", "reverse"], args, keywords);
    if (!(value instanceof Map) || (by !== "key" && by !== "value")) return fail("dictsort takes a dict, by key or value");
    const key = caseKey(sensitive);
    return sorted(
      [...value].map((entry) => sequence("tuple", entry)),
      (entry) => key((entry as Value[])[by === "key" ? 0 : 1]),
      truth(reverse),
    );
  },
  first: edge(0),
  float: toFloat,
  format: (value, args, keywords) => {
    if (args.length > 0 && keywords.size > 0) return fail("format takes values or names, not both");
    return percentFormat(plainText(value), keywords.size > 0 ? new Map(keywords) : sequence("tuple", args));
  },
  indent,
  int: toInt,
  items: (value) => {
    if (value === undefined) return generator([]);
    return value instanceof Map ? generator([...value].map((entry) => sequence("tuple", entry))) : fail("items takes a dict");
  },
  join: (value, args, keywords) => {
    const [separator = "", attribute] = bind("join", ["d", "attribute"], args, keywords);
    return joinTexts(iterate(value).map(getter(attribute)).map(plainText), plainText(separator));
  },
  last: edge(-1),
  length,
  list: (value) => iterate(value),
  lower: onText("lower", (text) => text.toLowerCase()),
  map,
  max: extreme("max", (a, b) => compareBy(">", a, b)),
  min: extreme("min", (a, b) => compareBy("<", a, b)),
  reject: selecting("reject", false, false),
  rejectattr: selecting("rejectattr", true, false),
  replace: (value, args, keywords) =>
    replace(
      plainText(value),
      args.map((one, i) => (i < 2 ? plainText(one) : one)),
      keywords,
    ),
  reverse: (value) => (typeof value === "string" ? Array.from(value).reverse().join("") : generator(iterate(value).reverse())),
  safe: (value) => new Markup(str(value)),
  select: selecting("select", false, true),
  selectattr: selecting("selectattr", true, true),
  sort: (value, args, keywords) => {
    const [reverse, sensitive, attribute] = bind("sort", ["reverse", "case_sensitive", "attribute"], args, keywords);
    if (typeof attribute === "string" && attribute.includes(",")) return refuse("sort by several attributes");
    const [key, get] = [caseKey(sensitive), getter(attribute)];
    return sorted(iterate(value), (one) => key(get(one)), truth(reverse));
  },
  string: onText("string", (text) => text),
  title: onText("title", (text) =>
    text
      .split(/([-\s({[<]+)/u)
      .map(capitalize)
      .join(""),
  ),
  tojson,
  sum: (value, args, keywords) => {
    const [attribute, start = 0n] = bind("sum", ["attribute", "start"], args, keywords);
    return iterate(value)
      .map(getter(attribute))
      .reduce<Value>((total, one) => {
        weigh(total);
        return binary("+", total, one);
      }, start);
  },
  trim: (value, args, keywords) => pythonStrip("strip", plainText(value), bind("trim", ["chars"], args, keywords)[0]),
  unique: (value, args, keywords) => {
    const [sensitive, attribute] = bind("unique", ["case_sensitive", "attribute"], args, keywords);
    const [key, get] = [caseKey(sensitive), getter(attribute)];
    const seen: Value[] = [];
    return generator(
      iterate(value).filter((one) => {
        const own = key(get(one));
        if (own instanceof Map || kindOf(own) === "list") return fail(`unique of a ${kindOf(own)}`);
        return seen.some((other) => equal(other, own)) ? false : seen.push(own) > 0;
      }),
    );
  },
  upper: onText("upper", (text) => text.toUpperCase()),
};

const others = new Set(
  "attr center filesizeformat forceescape groupby pprint random round slice striptags truncate urlencode urlize wordcount wordwrap xmlattr".split(
    " ",
  ),
);

/** Filters that take a Markup as it is, and such that make one of one. */
const takesMarkup = new Set("d default e escape safe".split(" "));
const keepsMarkup = new Set("capitalize indent last lower reverse string trim upper".split(" "));

/** `value | name(…)`. A name `is x` or `is not x` is a test. @throws GureumError "template" */
export function applyFilter(name: string, value: Value, args: readonly Value[], keywords: Keywords = none): Value {
  const test = /^is (not )?(.*)$/.exec(name);
  if (test) return applyTest(test[2]!, value, args) !== Boolean(test[1]);
  if (others.has(name)) return refuse(`the filter ${name}`);
  if (!Object.hasOwn(filters, name)) return fail(`no filter is called ${JSON.stringify(name)}`);
  // Counted here, since a filter also runs others: map("upper").
  for (const read of [value, ...args]) weigh(read);
  if (name === "format" && value instanceof Markup) return refuse("format of what `safe` made");
  const takes = takesMarkup.has(name);
  const made = filters[name]!(takes ? value : plain(value), takes ? args : args.map(plain), keywords);
  weigh(made);
  return value instanceof Markup && keepsMarkup.has(name) ? new Markup(made as string) : made;
}

const aliases: Readonly<Record<string, string>> = {
  eq: "==",
  equalto: "==",
  ne: "!=",
  lt: "<",
  lessthan: "<",
  le: "<=",
  gt: ">",
  greaterthan: ">",
  ge: ">=",
  "==": "==",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};
const kindIs =
  (pattern: RegExp) =>
  (value: Value): boolean =>
    pattern.test(kindOf(value));
const tests: Readonly<Record<string, (value: Value) => boolean>> = {
  boolean: kindIs(/^bool$/),
  callable: kindIs(/^(function|undefined)$/),
  defined: (value) => value !== undefined,
  escaped: (value) => value instanceof Markup,
  even: (value) => compareBy("==", binary("%", value, 2n), 0n),
  false: (value) => value === false,
  filter: (value) => Object.hasOwn(filters, str(value)) || others.has(str(value)),
  float: kindIs(/^float$/),
  integer: kindIs(/^int$/),
  iterable: (value) => value === undefined || typeof value === "string" || Array.isArray(value) || value instanceof Map,
  lower: (value) => /\p{Cased}/u.test(str(value)) && str(value) === str(value).toLowerCase(),
  mapping: kindIs(/^dict$/),
  none: (value) => value === null,
  number: kindIs(/^(int|float|bool)$/),
  odd: (value) => compareBy("==", binary("%", value, 2n), 1n),
  sequence: kindIs(/^(undefined|str|list|tuple|dict|range.*)$/),
  string: kindIs(/^str$/),
  test: (value) => Object.hasOwn(tests, str(value)) || Object.hasOwn(aliases, str(value)),
  true: (value) => value === true,
  undefined: (value) => value === undefined,
  upper: (value) => /\p{Cased}/u.test(str(value)) && str(value) === str(value).toUpperCase(),
};

/** `value is name(…)`. @throws GureumError "template" */
export function applyTest(name: string, given: Value, args: readonly Value[]): boolean {
  const value = name === "escaped" ? given : plain(given);
  const operator = aliases[name];
  const takesOne = operator !== undefined || /^(in|sameas|divisibleby)$/.test(name);
  if (!takesOne && !Object.hasOwn(tests, name)) return fail(`no test is called ${JSON.stringify(name)}`);
  if (args.length !== (takesOne ? 1 : 0)) return fail(`the test ${name} takes ${takesOne ? "one argument" : "no argument"}`);
  for (const read of [value, ...args]) weigh(read);
  const [other] = args;
  if (operator !== undefined) return compareBy(operator, value, other);
  if (name === "in") return isIn(value, other);
  if (name === "divisibleby") return compareBy("==", binary("%", value, other), 0n);
  if (name === "sameas")
    return typeof value === "object" && value !== null ? value === other : kindOf(value) === kindOf(other) && equal(value, other);
  return tests[name]!(value);
}

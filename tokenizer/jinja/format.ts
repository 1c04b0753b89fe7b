/** Python's text formatting: `%`, `str.format` and json.dumps. Source: docs.python.org, "printf-style String Formatting", "Format String Syntax", json. */

import { item } from "./access.ts";
import { exceed, fail, refuse } from "./errors.ts";
import { compare, floatText, intOf, type Keywords, kindOf, numeric, plain, repr, str, type Value, walk } from "./values.ts";

/** The widest field that a format may name. */
const maxWidth = 2 ** 24;

const width = (text: string | undefined): number =>
  Number(text ?? 0) > maxWidth ? exceed(`a string of more than ${maxWidth} characters`) : Number(text ?? 0);

function pad(text: string, size: number, align: string, fill: string): string {
  const missing = Math.max(0, size - Array.from(text).length);
  const left = align === "<" ? 0 : align === "^" ? missing >> 1 : missing;
  if (align !== "=") return fill.repeat(left) + text + fill.repeat(missing - left);
  const sign = /^[-+ ]?(?:0[xob])?/i.exec(text)![0];
  return sign + fill.repeat(missing) + text.slice(sign.length);
}

/** A float by one of Python's types e, f, g, %. toFixed is exact; toExponential and toPrecision are too. */
function floatBy(value: number, type: string, precision: number): string {
  if (!Number.isFinite(value)) return floatText(value).replace("-", "");
  const x = Math.abs(type === "%" ? value * 100 : value);
  const exponent = (text: string): string => text.replace(/e([-+])(\d)$/, "e$10$2");
  if (precision > 100) return refuse("a precision of more than 100 digits");
  // Halves: toFixed takes the larger of two equally near decimals, Python the even one.
  const even = (digits: string): string => {
    const last = digits.at(-1)!;
    const isTie = precision < 15 && x < 1e21 && /^50*$/.test(x.toFixed(100).split(".")[1]!.slice(precision));
    return isTie && "13579".includes(last) ? lower(digits) : digits;
  };
  if (/[f%]/i.test(type))
    return (
      (x >= 1e21 ? BigInt(x).toString() + (precision ? `.${"0".repeat(precision)}` : "") : even(x.toFixed(precision))) +
      (type === "%" ? "%" : "")
    );
  if (/e/i.test(type)) return exponent(x.toExponential(precision));
  const digits = Math.max(1, precision);
  const power = x === 0 ? 0 : Number(x.toExponential(digits - 1).split("e")[1]);
  const text = power < -4 || power >= digits ? x.toExponential(digits - 1) : x.toFixed(Math.min(100, digits - 1 - power));
  return exponent(text.replace(/\.(\d*?)0+(?=e|$)/, (_, kept: string) => (kept ? `.${kept}` : "")));
}
/** A decimal's predecessor in the last digit, which is odd. */
const lower = (digits: string): string => digits.slice(0, -1) + String(Number(digits.at(-1)) - 1);

const intBy = (value: bigint, type: string): string => {
  const size = value < 0n ? -value : value;
  const text = size.toString({ x: 16, X: 16, o: 8, b: 2 }[type] ?? 10);
  return type === "X" ? text.toUpperCase() : text;
};

const specPattern = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/u;

/** `format(value, spec)`. @throws GureumError "template" */
function formatBy(given: Value, spec: string): string {
  const value = plain(given);
  if (spec === "") return str(value);
  const matched = specPattern.exec(spec);
  const number = numeric(value);
  if (!matched || (typeof value !== "string" && number === undefined))
    return fail(`the format ${JSON.stringify(spec)} is not one for ${kindOf(value)}`);
  const [, fill = matched[5] ? "0" : " ", align, sign = "-", hash, zero, size, group, digits, type = ""] = matched;
  if (typeof value === "string" || number === undefined) {
    if (sign !== "-" || hash || group || align === "=" || !/^s?$/.test(type))
      return fail(`the format ${JSON.stringify(spec)} is not one for str`);
    const text = digits === undefined ? str(value) : Array.from(str(value)).slice(0, width(digits)).join("");
    return pad(text, width(size), align ?? "<", fill);
  }
  if (/[cns]/.test(type)) return type === "s" ? fail("the format 's' is not one for numbers") : refuse(`the format '${type}'`);
  let body: string;
  const isInt = typeof number === "bigint" && /^[bdoxX]?$/.test(type);
  if (isInt)
    body = digits === undefined ? (hash && /[box]/i.test(type) ? `0${type}` : "") + intBy(number, type) : fail("a precision for an int");
  else if (/^[bdoxX]$/.test(type)) return fail(`the format '${type}' is not one for float`);
  else if (type === "" && digits === undefined) body = floatText(Math.abs(Number(number)));
  else if (type === "") return refuse("a float's precision without a type");
  else body = floatBy(Number(number), type, digits === undefined ? 6 : width(digits));
  if (/[EFG]/.test(type)) body = body.toUpperCase();
  if (group) body = body.replace(/^\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, group));
  if (group && zero) return refuse("groups of thousands padded with zeros");
  const isNegative = number < 0 || Object.is(number, -0);
  return pad((isNegative ? "-" : sign === "-" ? "" : sign) + body, width(size), align ?? (zero ? "=" : ">"), fill);
}

/** `template.format(…)`. @throws GureumError "template" */
export function formatText(template: string, args: readonly Value[], keywords: Keywords): string {
  if (/\{[^{}:]*:[^{}]*\{/.test(template)) return refuse("a field within a format");
  let automatic = 0;
  let numbered = false;
  return template.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (all, field: string | undefined) => {
    if (all === "{{" || all === "}}") return all[0]!;
    const parts = /^([^!:[.]*)((?:\.[^.[!:]+|\[[^\]]*\])*)(?:!([rsa]))?(?::([\s\S]*))?$/u.exec(field ?? "}");
    if (field === undefined || !parts) return fail(`a broken format: ${JSON.stringify(template.slice(0, 80))}`);
    const [, name = "", path = "", conversion, spec = ""] = parts;
    if (name === "" ? numbered : /^\d+$/.test(name) && automatic > 0) return fail("format() mixes numbered and automatic fields");
    if (/^\d+$/.test(name)) numbered = true;
    const at = name === "" ? automatic++ : /^\d+$/.test(name) ? Number(name) : undefined;
    const isMissing = at === undefined ? !keywords.has(name) : at >= args.length;
    if (isMissing) return fail(`format() lacks the argument ${JSON.stringify(name || String(at))}`);
    let value = at === undefined ? keywords.get(name) : args[at];
    for (const [step] of path.matchAll(/\.[^.[]+|\[[^\]]*\]/g)) {
      if (step.startsWith(".")) return refuse("an attribute in format()");
      const key = step.slice(1, -1);
      value = item(value, /^\d+$/.test(key) ? intOf(key) : key);
      if (value === undefined) return fail(`format() finds no ${JSON.stringify(step)}`);
    }
    if (conversion === "a") return refuse("the conversion '!a'");
    return formatBy(conversion === "r" ? repr(value) : conversion === "s" ? str(value) : value, spec);
  });
}

/** `template % values`. @throws GureumError "template" */
export function percentFormat(template: string, values: Value): string {
  const isTuple = kindOf(values) === "tuple";
  const list = isTuple ? (values as Value[]) : [values];
  let used = 0;
  let named = false;
  const next = (): Value => (used < list.length ? list[used++] : fail("not enough arguments for the format"));
  const made = template.replace(
    /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S])?/gu,
    (_, name: string | undefined, flags: string, size: string | undefined, digits: string | undefined, type: string | undefined) => {
      if (type === "%") return "%";
      if (name !== undefined && !(values instanceof Map)) return fail("the format needs a dict");
      named ||= name !== undefined;
      if (size === "*" || digits === "*") return refuse("'*' in a format");
      if (type === undefined) return fail("a format that ends too early");
      const value =
        name === undefined
          ? next()
          : (values as Map<Value, Value>).has(name)
            ? (values as Map<Value, Value>).get(name)
            : fail(`no key ${JSON.stringify(name)} for the format`);
      const align = flags.includes("-") ? "<" : flags.includes("0") && !/[srac]/.test(type) ? "=" : ">";
      const fill = align === "=" ? "0" : " ";
      const sign = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
      if (type === "s" || type === "r") {
        const text = type === "s" ? str(value) : repr(value);
        return pad(digits === undefined ? text : Array.from(text).slice(0, width(digits)).join(""), width(size), align, " ");
      }
      const number = numeric(value);
      if (!/[diuxXoeEfFgG]/.test(type)) return /[ac]/.test(type) ? refuse(`the format %${type}`) : fail(`unknown format %${type}`);
      if (number === undefined || flags.includes("#"))
        return number === undefined ? fail(`%${type} needs a number, got ${kindOf(value)}`) : refuse("'#' in a format");
      const isInt = /[diuxXo]/.test(type);
      if (isInt && typeof number !== "bigint" && (/[xXo]/.test(type) || !Number.isFinite(number))) return fail(`%${type} needs an int`);
      const whole = isInt && typeof number !== "bigint" ? BigInt(Math.trunc(number)) : number;
      let body =
        typeof whole === "bigint" && isInt
          ? intBy(whole, type).padStart(width(digits), "0")
          : floatBy(Number(whole), type, digits === undefined ? 6 : width(digits));
      if (/[EFG]/.test(type)) body = body.toUpperCase();
      return pad((whole < 0 || Object.is(whole, -0) ? "-" : sign) + body, width(size), align, fill);
    },
  );
  if (!named && used < list.length && (isTuple || !(values instanceof Map || Array.isArray(values))))
    return fail("not all arguments of the format are used");
  return made;
}

export interface JsonOptions {
  readonly ascii: boolean;
  readonly indent: string | null;
  readonly separators: readonly [string, string];
  readonly sorted: boolean;
}

/** A JSON string. JSON.stringify also escapes halves of surrogate pairs, which no sound text has. */
const jsonText = (text: string, ascii: boolean): string => {
  const quoted = JSON.stringify(text);
  return ascii
    ? quoted.replace(/[\x7f-\uffff]/g, (unit) => (unit === "\x7f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`))
    : quoted;
};

/** json.dumps. @throws GureumError "template" for what has no JSON. */
export function toJson(given: Value, options: JsonOptions, depth = 0): string {
  const value = plain(given);
  walk(value);
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") return jsonText(value, options.ascii);
  if (typeof value === "number" && !Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (numeric(value) !== undefined) return str(value);
  const line = options.indent === null ? "" : `\n${options.indent.repeat(depth)}`;
  const inner = options.indent === null ? "" : line + options.indent;
  const wrap = (open: string, close: string, parts: string[]): string =>
    parts.length === 0 ? open + close : open + inner + parts.join(options.separators[0] + inner) + line + close;
  if (Array.isArray(value) && /^(list|tuple)$/.test(kindOf(value)))
    return wrap(
      "[",
      "]",
      value.map((part) => toJson(part, options, depth + 1)),
    );
  if (value instanceof Map) {
    const entries = options.sorted ? [...value].sort((a, b) => compare(a[0], b[0])) : [...value];
    return wrap(
      "{",
      "}",
      entries.map(([key, part]) => {
        const name =
          typeof key === "string"
            ? key
            : key === null
              ? "null"
              : typeof key === "bigint"
                ? str(key)
                : fail(`a JSON key of type ${kindOf(key)}`);
        return jsonText(name, options.ascii) + options.separators[1] + toJson(part, options, depth + 1);
      }),
    );
  }
  return fail(`'${kindOf(value)}' has no JSON`);
}

/** Elements and slices. Source: docs.python.org, "Built-in Types"; jinja2 `environment.getitem`. */
import { fail, refuse } from "./errors.ts";
import { isNamespace, kindOf, lengthOf, Markup, plain, sequence, str, type Value } from "./values.ts";

/** A key as a dict holds it: 1.0 and True are 1. */
const lookupKey = (key: Value): Value =>
  typeof key === "boolean" || (typeof key === "number" && Number.isInteger(key)) ? BigInt(key) : key;

/** A dict's key. @throws GureumError "template" */
export function keyOf(given: Value): Value {
  const value = plain(given);
  if (typeof value === "boolean" || typeof value === "number") return refuse(`a dict's key of type ${kindOf(value)}`);
  if (Array.isArray(value) && kindOf(value) === "tuple") return refuse("a dict's key of type tuple");
  return typeof value === "object" && value !== null ? fail(`'${kindOf(value)}' cannot be a dict's key`) : value;
}

function element(items: string | readonly Value[], index: bigint | boolean): Value {
  const at = Number(index);
  if (typeof items !== "string" || !/[\ud800-\udfff]/.test(items)) return items.at(at);
  if (at < 0) return Array.from(items).at(at);
  let unit = 0;
  for (let left = at; left > 0 && unit < items.length; left--) unit += items.codePointAt(unit)! > 0xffff ? 2 : 1;
  return unit < items.length ? String.fromCodePoint(items.codePointAt(unit)!) : undefined;
}

/** `object[key]`; what is not there is undefined. @throws GureumError "template" for an element of nothing. */
export function item(object: Value, key: Value): Value {
  if (object instanceof Markup) return marked(item(object.text, key));
  if (object === undefined) return fail(`an undefined value has no element ${key === undefined ? "" : repr1(key)}`);
  if (object instanceof Map) return object.get(lookupKey(key));
  if (isNamespace(object)) return typeof key === "string" ? object.attributes.get(key) : undefined;
  if (typeof object === "function") return refuse("an attribute of a function");
  // A generator has no elements, and only these attributes.
  if (kindOf(object) === "generator")
    return typeof key === "string" && /^(close|send|throw|gi_)/.test(key) ? refuse(`a generator's ${key}`) : undefined;
  const isIndex = typeof key === "bigint" || typeof key === "boolean";
  if ((typeof object === "string" || Array.isArray(object)) && isIndex && !kindOf(object).startsWith("dict_")) return element(object, key);
  return undefined;
}
const marked = (value: Value): Value => (typeof value === "string" ? new Markup(value) : value);
const repr1 = (key: Value): string => (typeof key === "string" ? JSON.stringify(key) : str(key));

/** `object[start:stop:step]`, by code point. @throws GureumError "template" */
export function slice(object: Value, bounds: readonly Value[]): Value {
  if (object instanceof Markup) return marked(slice(object.text, bounds));
  if (object === undefined) return fail("a slice of an undefined value");
  if (typeof object !== "string" && (!Array.isArray(object) || /^dict_|generator/.test(kindOf(object))))
    return fail(`'${kindOf(object)}' has no slices`);
  const [start, stop, step = 1n] = bounds.map((bound) => {
    if (bound === undefined || bound === null) return undefined;
    return typeof bound === "bigint" || typeof bound === "boolean"
      ? BigInt(bound)
      : fail(`a slice's bound is ${kindOf(bound)}, expected int`);
  });
  if (step === 0n) fail("a slice's step is zero");
  const items: ArrayLike<Value> = typeof object === "string" && /[\ud800-\udfff]/.test(object) ? Array.from(object) : object;
  const size = BigInt(lengthOf(object));
  const [low, high] = step > 0n ? [0n, size] : [-1n, size - 1n];
  const clamp = (bound: bigint | undefined, otherwise: bigint): bigint => {
    if (bound === undefined) return otherwise;
    const at = bound < 0n ? bound + size : bound;
    return at < low ? low : at > high ? high : at;
  };
  const [from, to] = step > 0n ? [clamp(start, low), clamp(stop, high)] : [clamp(start, high), clamp(stop, low)];
  const [first, last, by] = [Number(from), Number(to), Number(step)];
  const taken: Value[] = [];
  if (by === 1 && typeof items === "string") return (items as string).slice(first, Math.max(first, last));
  for (let i = first; by > 0 ? i < last : i > last; i += by) taken.push(items[i]);
  if (typeof object === "string") return taken.join("");
  const kind = kindOf(object);
  return kind === "list" ? taken : kind === "tuple" ? sequence("tuple", taken) : refuse("a slice of a range");
}

/** Python's operators. Source: docs.python.org, "Built-in Types". */
import { keyOf } from "./access.ts";
import { exceed, fail, refuse } from "./errors.ts";
import { percentFormat } from "./format.ts";
import { compare, equal, escapeMarkup, iterate, kindOf, Markup, numeric, plain, sequence, str, type Value } from "./values.ts";

/** The longest text that a rendering may make, in UTF-16 units. */
export const maxText: number = 2 ** 24;
/** The longest list that `*` or a filter may fill up. */
const maxRepeat = 1_000_000;
const maxBits = 14_000;

/** A text's length, known before it is made. @throws GureumError "template" */
export function checkLength(length: number): void {
  if (length > maxText) exceed(`a string of more than ${maxText} characters`);
}

/** Texts with one between each two. @throws GureumError "template" */
export function joinTexts(parts: readonly string[], between: string): string {
  checkLength(parts.reduce((length, part) => length + part.length + between.length, -between.length));
  return parts.join(between);
}

/** A list's length, known before it is made. @throws GureumError "template" */
export function checkItems(length: number): void {
  if (length > maxRepeat) exceed(`a list of more than ${maxRepeat} items`);
}

function checkInt(value: bigint): bigint {
  return value.toString(16).length * 4 > maxBits ? exceed("an integer of too many digits") : value;
}

function repeat(value: Value, count: bigint): Value {
  const times = count > 0n ? Number(count) : 0;
  if (typeof value === "string") {
    checkLength(value.length * times);
    return value.repeat(times);
  }
  const items = value as Value[];
  checkItems(items.length * times);
  const made = Array.from({ length: times }, () => items).flat();
  return kindOf(value) === "tuple" ? sequence("tuple", made) : made;
}

function power(a: bigint | number, b: bigint | number): Value {
  if (typeof a === "bigint" && typeof b === "bigint" && b >= 0n) {
    if (a * a > 1n && a.toString(16).length * 4 * Number(b) > 4 * maxBits) exceed("an integer of too many digits");
    return checkInt(a ** b);
  }
  if (Number(a) === 0 && Number(b) < 0) fail("zero to a negative power");
  if (!Number.isInteger(Number(b))) return refuse("a fractional power");
  const result = Number(a) ** Number(b);
  return Number.isFinite(result) ? result : fail("a power too large for a float");
}

function arithmetic(operator: string, a: bigint | number, b: bigint | number): Value {
  if (operator === "**") return power(a, b);
  if (/[/%]/.test(operator) && Number(b) === 0) fail("division by zero");
  if (operator === "/") return Number(a) / Number(b);
  if (typeof a === "bigint" && typeof b === "bigint") {
    const floor = (): bigint => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
    if (operator === "//") return floor();
    if (operator === "%") return a - floor() * b;
    return checkInt(operator === "+" ? a + b : operator === "-" ? a - b : a * b);
  }
  const [x, y] = [Number(a), Number(b)];
  const rest = x % y;
  const modulo = rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest === 0 ? (y < 0 || Object.is(y, -0) ? -0 : 0) : rest;
  if (operator === "%") return modulo;
  if (operator === "//") return Math.round((x - modulo) / y);
  return operator === "+" ? x + y : operator === "-" ? x - y : x * y;
}

/** The same where `safe` made one of them: `+` escapes the other, `*` stays. */
function binaryMarkup(operator: string, left: Value, right: Value): Value {
  if (operator === "+" && kindOf(left) === "str" && kindOf(right) === "str")
    return new Markup(escapeMarkup(left).text + escapeMarkup(right).text);
  if (operator === "%" && left instanceof Markup) return refuse("'%' of what `safe` made");
  const made = binary(operator, plain(left), plain(right));
  return operator === "*" ? new Markup(made as string) : made;
}

/** `left operator right`, for arithmetic and `~`. @throws GureumError "template" */
export function binary(operator: string, left: Value, right: Value): Value {
  if (operator === "~") return str(left) + str(right);
  if (left instanceof Markup || right instanceof Markup) return binaryMarkup(operator, left, right);
  if (left === undefined || right === undefined) return fail(`'${operator}' on an undefined value`);
  if (operator === "%" && typeof left === "string") return percentFormat(left, right);
  const [a, b] = [numeric(left), numeric(right)];
  if (a !== undefined && b !== undefined) return arithmetic(operator, a, b);
  if (operator === "+" && typeof left === "string" && typeof right === "string") return left + right;
  const kinds = [kindOf(left), kindOf(right)];
  const isPlain = (kind: string | undefined): boolean => kind === "list" || kind === "tuple";
  if (operator === "+" && kinds[0] === kinds[1] && isPlain(kinds[0])) {
    const joined = (left as Value[]).concat(right as Value[]);
    return kinds[0] === "tuple" ? sequence("tuple", [...(left as Value[]), ...(right as Value[])]) : joined;
  }
  if (operator === "*" && (typeof left === "string" || isPlain(kinds[0])) && typeof b === "bigint") return repeat(left, b);
  if (operator === "*" && (typeof right === "string" || isPlain(kinds[1])) && typeof a === "bigint") return repeat(right, a);
  if (operator === "|" && kinds[0] === "dict") return refuse("'|' of dicts");
  return fail(`'${operator}' is not defined between ${kinds[0]} and ${kinds[1]}`);
}

/** `member in container`. @throws GureumError "template" */
export function isIn(sought: Value, within: Value): boolean {
  const [member, container] = [plain(sought), plain(within)];
  if (typeof container === "string")
    return typeof member === "string" ? container.includes(member) : fail(`'in <string>' requires a string, got ${kindOf(member)}`);
  if (container instanceof Map) return container.has(keyOf(member));
  return iterate(container).some((item) => equal(item, member));
}

/** @throws GureumError "template" */
export function compareBy(operator: string, left: Value, right: Value): boolean {
  if (operator === "==") return equal(left, right);
  if (operator === "!=") return !equal(left, right);
  if (operator === "in") return isIn(left, right);
  if (operator === "not in") return !isIn(left, right);
  const order = compare(left, right);
  return operator === "<" ? order < 0 : operator === ">" ? order > 0 : operator === "<=" ? order <= 0 : order >= 0;
}

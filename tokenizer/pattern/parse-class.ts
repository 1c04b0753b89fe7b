/**
 * Character classes in Oniguruma's syntax, nested and intersected, with ignored case; escapes that stand for one character.
 * Ignored case is done for ASCII letters and for what has no case. U+017F (long s) and U+212A (Kelvin) equal `s` and `k`; where a
 * single character equals several (U+00DF and `ss`) or a property is not closed under case, the expression is refused.
 */
import { escapeClasses, posixClasses, propertyClass } from "./char-set.ts";
import type { Reader } from "./reader.ts";

export type Decide = (point: number) => boolean;

const maxDepth = 16;

/** Letters that together equal one character when case is ignored: ligatures U+FB00 to U+FB06 and U+00DF. */
const ligatures = ["ff", "fi", "fl", "ss", "st"];

export function foldsTogether(text: string): boolean {
  return ligatures.some((ligature) => text.endsWith(ligature));
}

/** `decide` for any case. `characters`: the literals in it, which must be ASCII or without case. */
export function ignoringCase(reader: Reader, decide: Decide, characters: readonly string[]): Decide {
  for (const character of characters)
    if (character > "\u007f" && /[\p{L}\p{M}]/u.test(character))
      throw reader.refused(`${JSON.stringify(character)} without regard to case`, "ASCII letters");
  return (point) => decide(point) || casesOf(point).some(decide);
}

/** Code points that equal this one when case is ignored, among ASCII and what equals ASCII. */
function casesOf(point: number): readonly number[] {
  if (point === 0x17f) return [0x53, 0x73];
  if (point === 0x212a) return [0x4b, 0x6b];
  if ((point >= 0x41 && point <= 0x5a) || (point >= 0x61 && point <= 0x7a)) {
    const other = point ^ 0x20;
    if ((point | 0x20) === 0x73) return [other, 0x17f];
    if ((point | 0x20) === 0x6b) return [other, 0x212a];
    return [other];
  }
  return [];
}

/** After `\p` or `\P`. Ignoring case, only properties closed under case. */
export function parseProperty(reader: Reader, negated: boolean, ignoreCase: boolean): Decide {
  const text = reader.match(/^\{\^?[^{}]*\}/u) ?? reader.match(/^[CLMNPSZ]/u);
  if (text === null) throw reader.broken("\\p without a property");
  const inverse = text.startsWith("{^") !== negated;
  const name = text.replace(/^\{\^?|\}$/g, "");
  const decide = propertyClass(name);
  if (decide === null) throw reader.refused(`the property \\p{${name}}`);
  if (ignoreCase && !/^(?:N[dlo]?|P[cdsefio]?|S[mcko]?|Z[slp]?)$/iu.test(name)) throw reader.refused(`\\p{${name}} without regard to case`);
  return inverse ? (point) => !decide(point) : decide;
}

const controls: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f", v: "\v", a: "\u0007", e: "\u001b" };

/** After a backslash, where a single character is meant. */
export function parseEscapedCharacter(reader: Reader): string {
  const letter = reader.next();
  if (Object.hasOwn(controls, letter)) return controls[letter]!;
  if (letter === "x" || letter === "u") {
    const digits =
      letter === "u"
        ? reader.match(/^[0-9A-Fa-f]{4}/u)
        : (reader.match(/^\{[0-9A-Fa-f]{1,8}\}/u) ?? reader.match(/^[0-7][0-9A-Fa-f]/u) ?? reader.match(/^[0-9A-Fa-f](?![0-9A-Fa-f])/u));
    const point = digits === null ? Number.NaN : Number.parseInt(digits.replace(/[{}]/g, ""), 16);
    if (!(point <= 0x10ffff) || (point >= 0xd800 && point <= 0xdfff)) throw reader.refused(`\\${letter}${digits ?? ""}`, "a code point");
    return String.fromCodePoint(point);
  }
  if (/[\p{L}\p{N}]/u.test(letter)) throw reader.refused(`\\${letter}`);
  return letter;
}

/** After `[`, up to its `]`. The union of its items; `&&` intersects what stands on either side; `^` negates it all. */
export function parseClass(reader: Reader, ignoreCase: boolean, depth: number): Decide {
  if (depth > maxDepth) throw reader.refused("a class nested so deeply");
  const negated = reader.take("^");
  const groups: Decide[][] = [[]];
  const add = (decide: Decide): void => {
    groups.at(-1)!.push(decide);
  };
  for (let first = true; first || !reader.sees("]"); first = false) {
    if (!reader.more()) throw reader.broken("a [ without its ]");
    if (reader.take("&&")) {
      groups.push([]);
      continue;
    }
    if (reader.sees("[:")) {
      const name = reader.match(/^\[:\^?[a-z]+:\]/u);
      const key = name?.replace(/[^a-z]/g, "") ?? "";
      if (!name || !Object.hasOwn(posixClasses, key)) throw reader.refused("[: that opens no POSIX class");
      if (ignoreCase && /^(?:alnum|alpha|lower|upper|word|graph|print)$/.test(key)) throw reader.refused(`${name} without regard to case`);
      const decide = posixClasses[key]!;
      add(name.startsWith("[:^") ? (point) => !decide(point) : decide);
      continue;
    }
    if (reader.take("[")) {
      add(parseClass(reader, ignoreCase, depth + 1));
      continue;
    }
    const item = parseItem(reader, ignoreCase);
    if (typeof item !== "string") {
      add(item);
      continue;
    }
    let last = item;
    if (reader.sees("-") && !reader.sees("-]") && !reader.sees("-&&")) {
      reader.next();
      if (reader.sees("[")) throw reader.refused("a range that ends in a class");
      const end = parseItem(reader, ignoreCase);
      if (typeof end !== "string") throw reader.refused("a range that ends in a class");
      last = end;
    }
    const [low, high] = [item.codePointAt(0)!, last.codePointAt(0)!];
    if (low > high) throw reader.broken(`the range ${item}-${last} is empty`);
    if (ignoreCase && low !== high && high > 0x7f) throw reader.refused(`the range ${item}-${last} without regard to case`, "ASCII");
    const within: Decide = (point) => point >= low && point <= high;
    add(ignoreCase ? ignoringCase(reader, within, [item, last]) : within);
  }
  reader.next();
  const decide: Decide = (point) => groups.every((group) => group.some((one) => one(point)));
  return negated ? (point) => !decide(point) : decide;
}

/** A character, or the class that an escape stands for. */
function parseItem(reader: Reader, ignoreCase: boolean): string | Decide {
  const character = reader.next();
  if (character !== "\\") return character;
  const letter = reader.peek();
  const small = letter.toLowerCase();
  if (letter === "b") {
    reader.next();
    return "\b";
  }
  if (Object.hasOwn(escapeClasses, small)) {
    reader.next();
    if (ignoreCase && small === "w") throw reader.refused(`\\${letter} in a class without regard to case`);
    // In a class `\w` is without the numerals that it has alone.
    const decide = small === "w" ? posixClasses.word! : escapeClasses[small]!;
    return letter === small ? decide : (point) => !decide(point);
  }
  if (small === "p") {
    reader.next();
    return parseProperty(reader, letter === "P", ignoreCase);
  }
  return parseEscapedCharacter(reader);
}

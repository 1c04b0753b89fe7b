/**
 * Character classes as the reference implementations see them; JavaScript's own differ in a few code points.
 * Sources: Unicode White_Space (Rust's `char::is_whitespace` and regex `\s`); Python's `str.isspace`; UTS 18 `\w`.
 */
import { isAfterUnicode16 } from "./unicode-versions.ts";

/** Unicode White_Space. JavaScript's `\s` has U+FEFF more and U+0085 less. */
export function isWhiteSpace(unit: number): boolean {
  return (
    (unit >= 0x09 && unit <= 0x0d) ||
    unit === 0x20 ||
    unit === 0x85 ||
    unit === 0xa0 ||
    unit === 0x1680 ||
    (unit >= 0x2000 && unit <= 0x200a) ||
    unit === 0x2028 ||
    unit === 0x2029 ||
    unit === 0x202f ||
    unit === 0x205f ||
    unit === 0x3000
  );
}

/** What Python's `str.strip()` takes off: White_Space and the separators U+001C to U+001F. */
export function isPythonSpace(unit: number): boolean {
  return isWhiteSpace(unit) || (unit >= 0x1c && unit <= 0x1f);
}

const wordCharacter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]$/u;

/** `\w` of Rust's regular expressions. A character that is new to the reference's tables is none. */
export function isWordPoint(point: number): boolean {
  return wordCharacter.test(String.fromCodePoint(point)) && !isAfterUnicode16(point);
}

/** Whether the code point that ends before `at` is a word character. */
export function endsWithWord(text: string, at: number): boolean {
  const pair = at >= 2 && text.charCodeAt(at - 1) >= 0xdc00 && text.charCodeAt(at - 1) <= 0xdfff;
  return at > 0 && wordCharacter.test(text.slice(at - (pair ? 2 : 1), at));
}

/** Whether the code point that starts at `at` is a word character. */
export function startsWithWord(text: string, at: number): boolean {
  return at < text.length && wordCharacter.test(String.fromCodePoint(text.codePointAt(at)!));
}

/** Takes units of a class off the start and the end of a text; the classes here lie in the basic plane. */
export function trimUnits(text: string, isMember: (unit: number) => boolean, atStart: boolean, atEnd: boolean): string {
  let start = 0;
  let end = text.length;
  if (atStart) while (start < end && isMember(text.charCodeAt(start))) start++;
  if (atEnd) while (end > start && isMember(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** A lone surrogate becomes U+FFFD: it has no UTF-8, which is what every tokenizer works on. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

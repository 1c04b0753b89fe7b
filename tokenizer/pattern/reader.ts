/** The source of a regular expression, read from left to right, with errors that show it. */
import { GureumError } from "../../core/errors.ts";

export interface Reader {
  more(): boolean;
  /** The next character; "" at the end. */
  peek(): string;
  sees(text: string): boolean;
  /** Takes `text` if it comes next. */
  take(text: string): boolean;
  /** What a `^` pattern matches here, taken; null: it does not match. */
  match(pattern: RegExp): string | null;
  /** @throws GureumError "format" at the end. */
  next(): string;
  broken(what: string): GureumError;
  refused(what: string, expected?: string): GureumError;
}

export function createReader(source: string): Reader {
  let at = 0;
  const where = `the regular expression ${JSON.stringify(source.length > 80 ? `${source.slice(0, 80)}…` : source)}`;
  const reader: Reader = {
    more: () => at < source.length,
    peek: () => (at < source.length ? String.fromCodePoint(source.codePointAt(at)!) : ""),
    sees: (text) => source.startsWith(text, at),
    take(text) {
      const found = source.startsWith(text, at);
      if (found) at += text.length;
      return found;
    },
    match(pattern) {
      const found = pattern.exec(source.slice(at, at + 200));
      if (!found) return null;
      at += found[0].length;
      return found[0];
    },
    next() {
      if (at >= source.length) throw reader.broken("it ends too early");
      const character = reader.peek();
      at += character.length;
      return character;
    },
    broken: (what) => new GureumError("format", { where, what: `${what} (at ${at})` }),
    refused: (what, expected) => new GureumError("unsupported", { where, what: `${what} is not supported`, ...(expected && { expected }) }),
  };
  return reader;
}

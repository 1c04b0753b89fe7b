/**
 * Bracketed paste: a terminal that was asked to puts marks around what is pasted, so that line ends in it are text and not the end of a
 * message. In the typed line a line end shows as ␊ and a tab as ␉; so they may be typed, too. Source: xterm's control sequences.
 */
import { withoutEnd } from "../core/text.ts";

export const PASTE_ON = "\x1b[?2004h";
export const PASTE_OFF = "\x1b[?2004l";
const BEGIN = "\x1b[200~";
const END = "\x1b[201~";

/** Pasted text as one line. */
const asLine = (text: string): string =>
  text
    .replace(/\r\n?|\n/g, "␊")
    .replaceAll("\t", "␉")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what is left of them would be read as keys
    .replace(/[\x00-\x1f\x7f]/g, "");

/** The message that a line stands for. */
export const asMessage = (line: string): string => line.replaceAll("␊", "\n").replaceAll("␉", "\t");

/** A message as a line, for the history. */
export const asHistory = (message: string): string => asLine(message);

/** How many characters at the end of `text` may be the beginning of `mark`. */
function begun(text: string, mark: string): number {
  for (let n = Math.min(mark.length - 1, text.length); n > 0; n--) if (mark.startsWith(text.slice(-n))) return n;
  return 0;
}

export interface PasteFilter {
  /** What of the keys may go on to the line editor. */
  push(keys: string): string;
  /** What was held back as the beginning of a mark, where nothing followed: it was a key. */
  flush(): string;
}

/** Keys as a terminal sends them, with pastes made one line; a mark may come in several pieces. */
export function pasteFilter(): PasteFilter {
  let held = "";
  let inside = false;
  return {
    push(keys) {
      let text = held + keys;
      held = "";
      let out = "";
      for (;;) {
        const mark = inside ? END : BEGIN;
        const at = text.indexOf(mark);
        const part = at < 0 ? text : text.slice(0, at);
        if (at < 0) {
          const n = begun(part, mark);
          held = part.slice(part.length - n);
          const rest = part.slice(0, part.length - n);
          // A line end at the end of what came may be half of \r\n, or the last of the paste, which is dropped.
          const open = inside ? rest.length - withoutEnd(rest, "\r\n").length : 0;
          held = rest.slice(rest.length - open) + held;
          out += inside ? asLine(rest.slice(0, rest.length - open)) : rest;
          return out;
        }
        out += inside ? asLine(withoutEnd(part, "\r\n")) : part;
        text = text.slice(at + mark.length);
        inside = !inside;
      }
    },
    flush() {
      if (inside) return "";
      const out = held;
      held = "";
      return out;
    },
  };
}

/** Stop strings: found wherever they fall across token borders, and never shown, not even in part. */

export interface StopMatcher {
  /** Takes more text; gives what may be shown, and whether a stop string ended it. */
  push(text: string): { text: string; stopped: boolean };
  /** The text still held back, once nothing more comes. */
  flush(): string;
}

/** Most stop strings, and characters of one: each is looked for in all that is generated. */
export const MOST_STOPS = 1024;
export const MOST_STOP_LENGTH = 65_536;

/**
 * Length of the longest suffix of a text that is a proper prefix of `stop`.
 * Source: Knuth, Morris & Pratt 1977: `borders[i]` is that length for stop[0 .. i] itself.
 */
function makeHeldBack(stop: string): (text: string) => number {
  const borders = new Int32Array(stop.length);
  /** One character more after `length` that matched. */
  const grown = (length: number, letter: number): number => {
    let n = length;
    while (n > 0 && stop.charCodeAt(n) !== letter) n = borders[n - 1]!;
    return stop.charCodeAt(n) === letter ? n + 1 : 0;
  };
  for (let i = 1; i < stop.length; i++) borders[i] = grown(borders[i - 1]!, stop.charCodeAt(i));
  return (text) => {
    let length = 0;
    for (let i = Math.max(0, text.length - stop.length + 1); i < text.length; i++) length = grown(length, text.charCodeAt(i));
    return length;
  };
}

/** The text ends before the stop string that begins first. Empty stop strings are ignored. */
export function makeStopMatcher(stops: readonly string[]): StopMatcher {
  const wanted = stops.filter((stop) => stop.length > 0);
  const heldBack = wanted.map(makeHeldBack);
  let held = "";
  return {
    push(text) {
      held += text;
      let first = -1;
      for (const stop of wanted) {
        const at = held.indexOf(stop);
        if (at >= 0 && (first < 0 || at < first)) first = at;
      }
      if (first >= 0) {
        const shown = held.slice(0, first);
        held = "";
        return { text: shown, stopped: true };
      }
      const keep = heldBack.reduce((most, of) => Math.max(most, of(held)), 0);
      const shown = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return { text: shown, stopped: false };
    },
    flush() {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

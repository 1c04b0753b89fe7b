/** Stop strings: found wherever they fall across token borders, and never shown, not even in part. */

export interface StopMatcher {
  /** Takes more text; gives what may be shown, and whether a stop string ended it. */
  push(text: string): { text: string; stopped: boolean };
  /** The text still held back, once nothing more comes. */
  flush(): string;
}

/** Length of the longest suffix of `text` that is a proper prefix of `stop`. */
function heldBack(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

/** The text ends before the stop string that begins first. Empty stop strings are ignored. */
export function makeStopMatcher(stops: readonly string[]): StopMatcher {
  const wanted = stops.filter((stop) => stop.length > 0);
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
      const keep = Math.max(0, ...wanted.map((stop) => heldBack(held, stop)));
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

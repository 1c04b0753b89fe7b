/**
 * How pre-tokenizers cut a text at what they match: the five behaviours of Hugging Face's tokenizers.
 * Source: huggingface/tokenizers `src/tokenizer/normalizer.rs` (`NormalizedString::split`).
 */
import { wrongType } from "./json.ts";
import type { FindMatches } from "./pattern/pattern.ts";

const behaviours = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
export type Behaviour = (typeof behaviours)[number];

export function asBehaviour(value: unknown): Behaviour {
  const found = behaviours.find((behaviour) => behaviour === value);
  if (found === undefined) throw wrongType("behavior", behaviours.join(", "), value);
  return found;
}

/** A stretch of a text, from `start` to `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts a text into matches and what lies between them (`invert` swaps the two), then by behaviour drops the matches ("Removed"), leaves
 * each alone ("Isolated"), joins one to what stands before or after it, or joins neighbours of one kind ("Contiguous").
 */
export function splitText(text: string, find: FindMatches, behaviour: Behaviour, invert: boolean): Span[] {
  const pieces: { start: number; end: number; match: boolean }[] = [];
  let done = 0;
  const matches = find(text);
  for (let i = 0; i < matches.length; i += 2) {
    const [start, end] = [matches[i]!, matches[i + 1]!];
    if (done < start) pieces.push({ start: done, end: start, match: invert });
    pieces.push({ start, end, match: !invert });
    done = end;
  }
  if (done < text.length) pieces.push({ start: done, end: text.length, match: invert });
  if (behaviour === "Isolated") return pieces;
  if (behaviour === "Removed") return pieces.filter(({ match }) => !match);

  const backwards = behaviour === "MergedWithNext";
  if (backwards) pieces.reverse();
  const joined: { start: number; end: number }[] = [];
  let afterMatch = false;
  for (const { start, end, match } of pieces) {
    const last = joined.at(-1);
    const joins = behaviour === "Contiguous" ? match === afterMatch : match && !afterMatch;
    if (!joins || last === undefined) joined.push({ start, end });
    else if (backwards) last.start = start;
    else last.end = end;
    afterMatch = match;
  }
  return backwards ? joined.reverse() : joined;
}

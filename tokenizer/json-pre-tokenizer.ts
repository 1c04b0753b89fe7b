/**
 * Pre-tokenizers of a tokenizer.json: a normalized stretch to the words that the model sees one by one.
 * Source: huggingface/tokenizers `src/pre_tokenizers/*.rs`.
 */
import { toByteCharacters } from "./byte-level.ts";
import { checkGrowth, growthLimit } from "./growth.ts";
import { asFlag, type JsonObject, wrongType } from "./json.ts";
import { asCharacter, stagesOf, unsupportedStage } from "./json-stage.ts";
import { charSet } from "./pattern/char-set.ts";
import { compileRegex, type FindMatches, patternOf } from "./pattern/pattern.ts";
import { asBehaviour, type Behaviour, splitText } from "./splitting.ts";
import { isWhiteSpace, isWordPoint } from "./unicode.ts";
import { isPunctuation } from "./unicode-versions.ts";

/** A stretch between pre-tokenizers; `first`: it begins the text. */
export interface Stretch {
  readonly text: string;
  readonly first: boolean;
}

type PreTokenize = (stretches: Stretch[]) => Stretch[];

export interface Metaspace {
  readonly replacement: string;
  readonly prependScheme: "always" | "first" | "never";
  readonly split: boolean;
}

/** Metaspace as pre-tokenizer and as decoder. */
export function parseMetaspace(config: JsonObject): Metaspace {
  const replacement = asCharacter(config.replacement, "replacement");
  const scheme = config.prepend_scheme ?? (asFlag(config.add_prefix_space, true, "add_prefix_space") ? "always" : "never");
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") throw wrongType("prepend_scheme", "always, first or never", scheme);
  return { replacement, prependScheme: scheme, split: asFlag(config.split, true, "split") };
}

function metaspace({ replacement, prependScheme, split }: Metaspace): PreTokenize {
  return (stretches) =>
    stretches.flatMap(({ text, first }) => {
      let marked = text.replaceAll(" ", replacement);
      const prepend = prependScheme === "always" || (prependScheme === "first" && first);
      if (prepend && !marked.startsWith(replacement)) marked = replacement + marked;
      if (!split) return [{ text: marked, first }];
      return cut(marked, first, splitBefore(marked, replacement));
    });
}

/** Cuts before every `mark`, which stays with what follows it. */
function splitBefore(text: string, mark: string): { start: number; end: number }[] {
  const spans: { start: number; end: number }[] = [];
  let start = 0;
  for (let at = text.indexOf(mark, 1); at >= 0; at = text.indexOf(mark, at + 1)) {
    spans.push({ start, end: at });
    start = at;
  }
  spans.push({ start, end: text.length });
  return spans;
}

function cut(text: string, first: boolean, spans: readonly { start: number; end: number }[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { start, end } of spans) if (start < end) stretches.push({ text: text.slice(start, end), first: first && start === 0 });
  return stretches;
}

const splitter =
  (find: FindMatches, behaviour: Behaviour, invert = false): PreTokenize =>
  (stretches) =>
    stretches.flatMap(({ text, first }) => cut(text, first, splitText(text, find, behaviour, invert)));

/** Every code point of a class is a match of its own. */
function pointMatches(isMember: (point: number) => boolean): FindMatches {
  const set = charSet(isMember);
  return (text) => {
    const matches: number[] = [];
    for (let at = 0; at < text.length; ) {
      const point = text.codePointAt(at)!;
      const end = at + (point > 0xffff ? 2 : 1);
      if (set.has(point)) matches.push(at, end);
      at = end;
    }
    return matches;
  };
}

/** Words, and runs of what is neither word nor white space: `\w+|[^\w\s]+` in Rust's classes. */
function wordsAndSymbols(): FindMatches {
  const word = charSet(isWordPoint);
  const kindOf = (point: number): number => (isWhiteSpace(point) ? 0 : word.has(point) ? 1 : 2);
  return (text) => {
    const matches: number[] = [];
    let kind = 0;
    let start = 0;
    for (let at = 0; at <= text.length; ) {
      const point = at < text.length ? text.codePointAt(at)! : 0x20;
      const next = kindOf(point);
      if (next !== kind) {
        if (kind > 0) matches.push(start, at);
        [kind, start] = [next, at];
      }
      at += point > 0xffff ? 2 : 1;
    }
    return matches;
  };
}

/** GPT-2's expression for words (openai/gpt-2 `src/encoder.py`). */
const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function byteLevel(config: JsonObject): PreTokenize {
  const addPrefixSpace = asFlag(config.add_prefix_space, true, "add_prefix_space");
  const words = asFlag(config.use_regex, true, "use_regex") ? splitter(compileRegex(gpt2Words), "Isolated") : null;
  return (stretches) => {
    const spaced = addPrefixSpace
      ? stretches.map(({ text, first }) => ({ text: text.startsWith(" ") ? text : ` ${text}`, first }))
      : stretches;
    return (words ? words(spaced) : spaced).map(({ text, first }) => ({ text: toByteCharacters(text), first }));
  };
}

function parsePreTokenizer(config: JsonObject): PreTokenize {
  switch (config.type) {
    case "Metaspace":
      return metaspace(parseMetaspace(config));
    case "ByteLevel":
      return byteLevel(config);
    case "Split":
      return splitter(patternOf(config.pattern), asBehaviour(config.behavior), asFlag(config.invert, false, "invert"));
    case "Digits": {
      const alone = asFlag(config.individual_digits, false, "individual_digits");
      const number = /^\p{N}$/u;
      return splitter(
        pointMatches((point) => number.test(String.fromCodePoint(point))),
        alone ? "Isolated" : "Contiguous",
      );
    }
    case "Punctuation":
      return splitter(pointMatches(isPunctuation), config.behavior === undefined ? "Isolated" : asBehaviour(config.behavior));
    case "Whitespace":
      return splitter(wordsAndSymbols(), "Removed", true);
    case "WhitespaceSplit":
      return splitter(pointMatches(isWhiteSpace), "Removed");
    default:
      throw unsupportedStage(
        "a pre-tokenizer",
        config.type,
        "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace or Sequence",
      );
  }
}

/** The pre-tokenizer of a tokenizer.json; null leaves a stretch whole. */
export function parsePreTokenizers(config: unknown): (stretch: Stretch) => Stretch[] {
  const steps = stagesOf(config, "pretokenizers").map(parsePreTokenizer);
  return (stretch) => {
    const limit = growthLimit(stretch.text.length);
    return steps.reduce(
      (stretches, step) => {
        const next = step(stretches);
        let length = 0;
        for (const { text } of next) length += text.length;
        checkGrowth(length, limit);
        return next;
      },
      [stretch],
    );
  };
}

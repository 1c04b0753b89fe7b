/**
 * The stages of a tokenizer.json around its model: normalizers, pre-tokenizers, decoders, the post-processor.
 * What SentencePiece-style models use; byte-level, BERT and word pipelines are refused by name.
 * Source: huggingface/tokenizers `src/{normalizers,pre_tokenizers,decoders,processors}/*.rs`.
 */
import { GureumError, within } from "../core/errors.ts";
import { type Charsmap, matchCharsmap, parseCharsmap } from "./charsmap.ts";
import { byteFallbackDecoder, fuseDecoder, metaspaceDecoder, replaceDecoder, stripDecoder, type TokenDecoder } from "./decoding.ts";
import { asArray, asCount, asFlag, asObject, asString, decodeBase64, type JsonObject, wrongType } from "./json.ts";
import { isWhiteSpace, trimUnits } from "./unicode.ts";

type Normalize = (text: string) => string;

/** A stretch between pre-tokenizers; `first`: it begins the text. */
export interface Stretch {
  readonly text: string;
  readonly first: boolean;
}

type PreTokenize = (stretches: Stretch[]) => Stretch[];

const maxNesting = 16;

function unsupported(stage: string, type: unknown, supported: string): GureumError {
  return new GureumError("unsupported", {
    what: `${stage} of type ${JSON.stringify(type) ?? "none"} is not supported`,
    expected: supported,
  });
}

/** Flattens nested sequences into their members, in order; null is an empty sequence. */
function members(config: unknown, key: string, depth = 0): JsonObject[] {
  if (config === null || config === undefined) return [];
  const object = asObject(config, "");
  if (object.type !== "Sequence") return [object];
  if (depth >= maxNesting) throw new GureumError("format", { what: "sequences are nested too deeply", expected: `at most ${maxNesting}` });
  return asArray(object[key], key).flatMap((member) => members(member, key, depth + 1));
}

const whiteSpaceClass = "[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

/** A literal, or of the regular expressions one character (or `\s`) with a quantifier: no backtracking to fear. */
function parsePattern(value: unknown): RegExp {
  const pattern = asObject(value, "pattern");
  if (typeof pattern.String === "string" && pattern.String !== "")
    return new RegExp(pattern.String.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
  const source = asString(pattern.Regex, "pattern > Regex");
  const parts = /^(\\s|\\[^\p{L}\p{N}]|[^\\^$.*+?()[\]{}|])(\+|\{\d{1,4},?\})?$/u.exec(source);
  if (!parts)
    throw new GureumError("unsupported", {
      where: "pattern",
      what: `the regular expression ${JSON.stringify(source)} is not supported`,
      expected: "one character with a quantifier",
    });
  const character = parts[1]!;
  const atom = character === "\\s" ? whiteSpaceClass : character.replace(/^\\/, "").replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  return new RegExp(atom + (parts[2] ?? ""), "gu");
}

/** By grapheme, the shortest rule that fits; a quirk models were trained with (tokenizers `normalizers/precompiled.rs`). */
function precompiled(map: Charsmap): Normalize {
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  const utf8Length = (text: string): number => {
    let length = 0;
    for (const character of text) {
      const point = character.codePointAt(0)!;
      length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    }
    return length;
  };
  return (text) => {
    const parts: string[] = [];
    for (const { segment } of segmenter.segment(text)) {
      const whole = utf8Length(segment) < 6 ? matchCharsmap(map, segment, 0, segment.length, "shortest") : null;
      if (whole) parts.push(whole.replacement);
      else
        for (const character of segment)
          parts.push(matchCharsmap(map, character, 0, character.length, "shortest")?.replacement ?? character);
    }
    return parts.join("");
  };
}

function parseNormalizer(config: JsonObject): Normalize {
  switch (config.type) {
    case "Prepend": {
      const prefix = asString(config.prepend, "prepend");
      return (text) => (text === "" ? "" : prefix + text);
    }
    case "Replace": {
      const pattern = parsePattern(config.pattern);
      const content = asString(config.content, "content");
      return (text) => text.replace(pattern, () => content);
    }
    case "Strip": {
      const left = asFlag(config.strip_left, true, "strip_left");
      const right = asFlag(config.strip_right, true, "strip_right");
      return (text) => trimUnits(text, isWhiteSpace, left, right);
    }
    case "Precompiled": {
      const encoded = config.precompiled_charsmap;
      if (encoded === null || encoded === undefined || encoded === "") return (text) => text;
      return precompiled(within("precompiled_charsmap", () => parseCharsmap(decodeBase64(asString(encoded, "")))));
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = config.type;
      return (text) => text.normalize(form);
    }
    default:
      throw unsupported("a normalizer", config.type, "Prepend, Replace, Strip, Precompiled, NFC, NFD, NFKC, NFKD or Sequence");
  }
}

/** The normalizer of a tokenizer.json; null is the identity. */
export function parseNormalizers(config: unknown): Normalize {
  const steps = members(config, "normalizers").map(parseNormalizer);
  return (text) => steps.reduce((normalized, step) => step(normalized), text);
}

interface Metaspace {
  readonly replacement: string;
  readonly prependScheme: "always" | "first" | "never";
  readonly split: boolean;
}

function parseMetaspace(config: JsonObject): Metaspace {
  const replacement = asString(config.replacement, "replacement");
  if (replacement === "" || replacement.length !== (replacement.codePointAt(0)! > 0xffff ? 2 : 1))
    throw wrongType("replacement", "one character", replacement);
  const scheme = config.prepend_scheme ?? (asFlag(config.add_prefix_space, true, "add_prefix_space") ? "always" : "never");
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") throw wrongType("prepend_scheme", "always, first or never", scheme);
  return { replacement, prependScheme: scheme, split: asFlag(config.split, true, "split") };
}

/** Cuts before every `mark`, which stays with what follows it. */
function splitBefore(text: string, mark: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = text.indexOf(mark, 1); at >= 0; at = text.indexOf(mark, at + 1)) {
    parts.push(text.slice(start, at));
    start = at;
  }
  parts.push(text.slice(start));
  return parts;
}

function parsePreTokenizer(config: JsonObject): PreTokenize {
  switch (config.type) {
    case "Metaspace": {
      const { replacement, prependScheme, split } = parseMetaspace(config);
      return (stretches) =>
        stretches.flatMap(({ text, first }) => {
          let marked = text.replaceAll(" ", replacement);
          const prepend = prependScheme === "always" || (prependScheme === "first" && first);
          if (prepend && !marked.startsWith(replacement)) marked = replacement + marked;
          if (!split) return [{ text: marked, first }];
          return splitBefore(marked, replacement).map((part, i) => ({ text: part, first: first && i === 0 }));
        });
    }
    case "WhitespaceSplit":
      return (stretches) =>
        stretches.flatMap(({ text, first }) => {
          const words: Stretch[] = [];
          for (let at = 0; at < text.length; ) {
            if (isWhiteSpace(text.charCodeAt(at))) {
              at++;
              continue;
            }
            const start = at;
            while (at < text.length && !isWhiteSpace(text.charCodeAt(at))) at++;
            words.push({ text: text.slice(start, at), first: first && start === 0 });
          }
          return words;
        });
    default:
      throw unsupported("a pre-tokenizer", config.type, "Metaspace, WhitespaceSplit or Sequence");
  }
}

/** The pre-tokenizer of a tokenizer.json: a stretch to the words the model sees one by one; null leaves it whole. */
export function parsePreTokenizers(config: unknown): (stretch: Stretch) => Stretch[] {
  const steps = members(config, "pretokenizers").map(parsePreTokenizer);
  return (stretch) => steps.reduce((stretches, step) => step(stretches), [stretch]);
}

export interface Decoding {
  readonly decodeTokens: (tokens: string[]) => string;
  /** Whether byte tokens become their bytes. */
  readonly byteFallback: boolean;
  /** Whether a space at the very start is one that encoding put there. */
  readonly dropsLeadingSpace: boolean;
}

/** The decoder of a tokenizer.json. Without one, tokens are joined by spaces. */
export function parseDecoders(config: unknown): Decoding {
  const steps: TokenDecoder[] = [];
  let byteFallback = false;
  let dropsLeadingSpace = false;
  for (const member of members(config, "decoders")) {
    switch (member.type) {
      case "Replace": {
        const pattern = asObject(member.pattern, "pattern");
        if (typeof pattern.String !== "string" || pattern.String === "")
          throw new GureumError("unsupported", { where: "Replace", what: "a decoder's pattern is not a string" });
        steps.push(replaceDecoder(pattern.String, asString(member.content, "content")));
        break;
      }
      case "ByteFallback":
        byteFallback = true;
        steps.push(byteFallbackDecoder);
        break;
      case "Fuse":
        steps.push(fuseDecoder);
        break;
      case "Strip": {
        const content = asString(member.content, "content");
        if (content === "" || content.length !== (content.codePointAt(0)! > 0xffff ? 2 : 1))
          throw wrongType("content", "one character", content);
        const start = asCount(member.start, "start");
        if (content === " " && start > 0) dropsLeadingSpace = true;
        steps.push(stripDecoder(content, start, asCount(member.stop, "stop")));
        break;
      }
      case "Metaspace": {
        const { replacement, prependScheme } = parseMetaspace(member);
        if (prependScheme !== "never") dropsLeadingSpace = true;
        steps.push(metaspaceDecoder(replacement, prependScheme !== "never"));
        break;
      }
      default:
        throw unsupported("a decoder", member.type, "Replace, ByteFallback, Fuse, Strip, Metaspace or Sequence");
    }
  }
  const separator = config === null || config === undefined ? " " : "";
  return {
    decodeTokens: (tokens) => steps.reduce((decoded, step) => step(decoded), tokens).join(separator),
    byteFallback,
    dropsLeadingSpace,
  };
}

/** What a post-processor puts around a text: at most one token on either side. */
export interface Surroundings {
  readonly before: string | null;
  readonly after: string | null;
}

/** The post-processor of a tokenizer.json; of a template only the form for a single text. */
export function parsePostProcessors(config: unknown): Surroundings {
  let before: string | null = null;
  let after: string | null = null;
  for (const member of members(config, "processors")) {
    if (member.type !== "TemplateProcessing") throw unsupported("a post-processor", member.type, "TemplateProcessing or Sequence");
    let seenText = false;
    for (const item of asArray(member.single, "single")) {
      const object = asObject(item, "single");
      if (object.Sequence !== undefined) {
        if (seenText) throw new GureumError("unsupported", { where: "single", what: "a template with the text twice" });
        seenText = true;
        continue;
      }
      const token = asString(asObject(object.SpecialToken, "SpecialToken").id, "SpecialToken > id");
      if ((seenText ? after : before) !== null)
        throw new GureumError("unsupported", {
          where: "single",
          what: "a template with two tokens in a row",
          expected: "one before and one after the text at most",
        });
      if (seenText) after = token;
      else before = token;
    }
  }
  return { before, after };
}

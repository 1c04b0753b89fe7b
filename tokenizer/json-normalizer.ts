/**
 * Normalizers of a tokenizer.json: text to text, before anything is cut.
 * Source: huggingface/tokenizers `src/normalizers/*.rs`.
 */
import { within } from "../core/errors.ts";
import { type Charsmap, matchCharsmap, parseCharsmap } from "./charsmap.ts";
import { checkGrowth, growthLimit, replaceMatches } from "./growth.ts";
import { asFlag, asString, decodeBase64, type JsonObject } from "./json.ts";
import { stagesOf, unsupportedStage } from "./json-stage.ts";
import { patternOf } from "./pattern/pattern.ts";
import { isWhiteSpace, trimUnits } from "./unicode.ts";
import { isMark, normalForm } from "./unicode-versions.ts";

/** One stage; the result has at most `limit` UTF-16 units, where the stage can tell before it is there. */
type Normalize = (text: string, limit: number) => string;

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
  return (text, limit) => {
    const parts: string[] = [];
    let length = 0;
    const add = (part: string): void => {
      parts.push(part);
      length += part.length;
      checkGrowth(length, limit);
    };
    for (const { segment } of segmenter.segment(text)) {
      const whole = utf8Length(segment) < 6 ? matchCharsmap(map, segment, 0, segment.length, "shortest") : null;
      if (whole) add(whole.replacement);
      else for (const character of segment) add(matchCharsmap(map, character, 0, character.length, "shortest")?.replacement ?? character);
    }
    return parts.join("");
  };
}

const filterPoints = (text: string, keep: (point: number) => boolean): string =>
  Array.from(text, (character) => (keep(character.codePointAt(0)!) ? character : "")).join("");

function parseNormalizer(config: JsonObject): Normalize {
  switch (config.type) {
    case "Prepend": {
      const prefix = asString(config.prepend, "prepend");
      return (text) => (text === "" ? "" : prefix + text);
    }
    case "Replace": {
      const find = patternOf(config.pattern);
      const content = asString(config.content, "content");
      return (text, limit) => replaceMatches(text, find, content, limit);
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
      return (text) => normalForm(text, form);
    }
    case "StripAccents":
      return (text) => filterPoints(text, (point) => !isMark(point));
    // By character: a sigma at the end of a word is like any other.
    case "Lowercase":
      return (text) => Array.from(text, (character) => character.toLowerCase()).join("");
    default:
      throw unsupportedStage(
        "a normalizer",
        config.type,
        "Prepend, Replace, Strip, StripAccents, Lowercase, Precompiled, NFC, NFD, NFKC, NFKD or Sequence",
      );
  }
}

/**
 * The normalizer of a tokenizer.json; null is the identity. The function returned throws GureumError "limit" where a text would grow
 * beyond 64 times its length.
 */
export function parseNormalizers(config: unknown): (text: string) => string {
  const steps = stagesOf(config, "normalizers").map(parseNormalizer);
  return (text) => {
    const limit = growthLimit(text.length);
    return steps.reduce((normalized, step) => {
      const next = step(normalized, limit);
      checkGrowth(next.length, limit);
      return next;
    }, text);
  };
}

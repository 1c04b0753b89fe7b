/**
 * sentencepiece's normalizer: the charsmap (or the identity), then its rules about spaces.
 * Source: google/sentencepiece `src/normalizer.cc` (`Normalizer::Normalize`, `NormalizePrefix`).
 * No alignment back to the text is kept: ids are all that is asked for.
 */
import { within } from "../core/errors.ts";
import { matchCharsmap, parseCharsmap } from "./charsmap.ts";
import type { SentencePieceModel } from "./sentencepiece-model.ts";
import { longestMatch, type Trie } from "./trie.ts";

/** U+2581, which stands for a space in pieces. */
export const spaceSymbol = "\u2581";

export type NormalizerSpec = Pick<
  SentencePieceModel,
  "precompiledCharsmap" | "addDummyPrefix" | "removeExtraWhitespaces" | "escapeWhitespaces" | "treatWhitespaceAsSuffix"
>;

/**
 * The function text -> what the model segments. User-defined symbols (null: none) pass through the charsmap untouched.
 * An empty text stays empty; any other gets the dummy prefix (or suffix) where the spec asks for it.
 * @throws GureumError "format" for a broken charsmap.
 */
export function createNormalizer(spec: NormalizerSpec, userDefined: Trie | null): (text: string) => string {
  const charsmap =
    spec.precompiledCharsmap.length > 0 ? within("precompiled_charsmap", () => parseCharsmap(spec.precompiledCharsmap)) : null;
  const space = spec.escapeWhitespaces ? spaceSymbol : " ";
  const prefix = spec.addDummyPrefix && !spec.treatWhitespaceAsSuffix ? space : "";
  const suffix = spec.addDummyPrefix && spec.treatWhitespaceAsSuffix ? space : "";

  /** One rule's worth of text from `at` on: [its length, what becomes of it]. */
  let length = 0;
  const prefixAt = (text: string, at: number): string => {
    if (userDefined) {
      length = longestMatch(userDefined, text, at);
      if (length > 0) return text.slice(at, at + length);
    }
    const match = charsmap && matchCharsmap(charsmap, text, at, text.length, "longest");
    if (match) {
      length = match.length;
      return match.replacement;
    }
    length = text.codePointAt(at)! > 0xffff ? 2 : 1;
    return text.slice(at, at + length);
  };

  return (text) => {
    if (text === "") return "";
    if (!charsmap && !spec.removeExtraWhitespaces)
      return prefix + (spec.escapeWhitespaces ? text.replaceAll(" ", spaceSymbol) : text) + suffix;
    let at = 0;
    if (spec.removeExtraWhitespaces) while (at < text.length && prefixAt(text, at) === " ") at += length;
    if (at === text.length) return "";
    const parts: string[] = [];
    let afterSpace = spec.removeExtraWhitespaces;
    while (at < text.length) {
      let part = prefixAt(text, at);
      at += length;
      if (afterSpace) part = part.replace(/^ +/, "");
      if (part !== "") {
        afterSpace = spec.removeExtraWhitespaces && part.endsWith(" ");
        parts.push(part);
      }
    }
    let normalized = parts.join("");
    if (spec.escapeWhitespaces) normalized = normalized.replaceAll(" ", spaceSymbol);
    normalized = prefix + normalized;
    if (spec.removeExtraWhitespaces) {
      let end = normalized.length;
      while (end > 0 && normalized[end - 1] === space) end--;
      normalized = normalized.slice(0, end);
    }
    return normalized + suffix;
  };
}

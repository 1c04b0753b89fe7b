/**
 * A bound on how much longer the stages of a tokenizer.json may make a text: 28 `Replace` rules that double it fit into 2 kB. Published
 * pipelines stay below 18 times (NFKC of U+FDFA).
 */
import { GureumError } from "../core/errors.ts";
import type { FindMatches } from "./pattern/pattern.ts";

/** UTF-16 units that a text of `length` may become. */
export const growthLimit = (length: number): number => 64 * length + 65_536;

/** @throws GureumError "limit" where `length` is above the limit. */
export function checkGrowth(length: number, limit: number): void {
  if (length > limit)
    throw new GureumError("limit", {
      where: "tokenizer.json",
      what: "the stages make a text too long",
      expected: `at most ${limit} characters`,
      got: `${length}`,
      remedy: "the file is broken or hostile: do not use it",
    });
}

/** Matches become `content`, up to `limit` units in all. */
export function replaceMatches(text: string, find: FindMatches, content: string, limit: number): string {
  const matches = text === "" ? [] : find(text);
  if (matches.length === 0) return text;
  checkGrowth(text.length + (matches.length / 2) * (content.length - 1), limit + text.length);
  const parts: string[] = [];
  let done = 0;
  for (let i = 0; i < matches.length; i += 2) {
    parts.push(text.slice(done, matches[i]), content);
    done = matches[i + 1]!;
  }
  parts.push(text.slice(done));
  const replaced = parts.join("");
  checkGrowth(replaced.length, limit);
  return replaced;
}

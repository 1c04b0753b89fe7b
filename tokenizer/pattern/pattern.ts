/**
 * Patterns as tokenizer.json gives them: `{ "String": … }`, taken literally, or `{ "Regex": … }` in Oniguruma's syntax. Regular
 * expressions run on this engine's own matcher rather than JavaScript's, whose syntax and classes differ and which can hang.
 */
import { GureumError } from "../../core/errors.ts";
import { asObject, asString } from "../json.ts";
import { compileNode } from "./compile.ts";
import { findMatches } from "./match.ts";
import { parsePattern } from "./parse.ts";

/** Matches of a text from left to right: [start, end] one after the other, in UTF-16 units. */
export type FindMatches = (text: string) => number[];

/**
 * A regular expression in Oniguruma's syntax.
 * @throws GureumError "format" for a broken expression, "unsupported" (by name) for what is not done here; the function returned throws
 * "limit" where a text takes too many steps.
 */
export function compileRegex(source: string): FindMatches {
  const program = compileNode(parsePattern(source));
  return (text) => findMatches(program, text);
}

/** Occurrences of a text that is not empty. */
export function literalMatches(literal: string): FindMatches {
  return (text) => {
    const matches: number[] = [];
    for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + literal.length)) matches.push(at, at + literal.length);
    return matches;
  };
}

/** The `pattern` of a stage in tokenizer.json. */
export function patternOf(value: unknown): FindMatches {
  const pattern = asObject(value, "pattern");
  if (pattern.String === undefined) return compileRegex(asString(pattern.Regex, "pattern > Regex"));
  const literal = asString(pattern.String, "pattern > String");
  if (literal === "") throw new GureumError("unsupported", { where: "pattern", what: "an empty string to look for is not supported" });
  return literalMatches(literal);
}

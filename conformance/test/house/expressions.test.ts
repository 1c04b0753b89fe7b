/**
 * Regular expressions of the product that a text can make slow: a repetition within a repetition, and one before `$` that may begin
 * anywhere. Patterns of files run on tokenizer/pattern/, which counts its steps.
 */
import { describe, expect, it } from "vitest";
import { sources, textOf } from "./tree.ts";

/** Regular expressions of a source text: after what may stand before a value, up to their end. */
function expressionsIn(text: string): string[] {
  const found: string[] = [];
  for (const [, body] of text.matchAll(
    /(?:[(,=:[!&|?;{}+>]|return)\s*\/((?:[^/\\\n[*]|\\.|\[(?:[^\]\\\n]|\\.)*\])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*)\/[a-z]*/g,
  ))
    found.push(body!);
  return found;
}

/** What is wrong with an expression, or null. */
function slow(body: string): string | null {
  // Classes and escapes as single letters; then only groups and quantifiers are left to look at.
  const plain = body.replace(/\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\./g, "x").replace(/\[[^\]]*\]/g, "x");
  const open: boolean[] = [];
  let inner = false;
  for (let i = 0; i < plain.length; i++) {
    const unbounded = plain[i] === "*" || plain[i] === "+" || (plain[i] === "{" && /^\{\d*,\}/.test(plain.slice(i, i + 9)));
    if (plain[i] === "(") {
      open.push(inner);
      inner = false;
    } else if (plain[i] === ")") {
      const repeats = /^(?:[*+]|\{\d*,\})/.test(plain.slice(i + 1, i + 10));
      if (inner && repeats) return "a repetition within a repetition";
      inner = (open.pop() ?? false) || inner || repeats;
    } else if (unbounded && plain[i - 1] !== ")") inner = true;
  }
  const last = /(?:^|\|)([^|^]*)[+*]\$$/.exec(plain);
  return last && !plain.startsWith("^") && !plain.startsWith("(?<!") ? "a repetition before the end that may begin anywhere" : null;
}

/** Looked at: each inner repetition begins with a letter that neither it nor its neighbours take; or the text is WGSL, or one line. */
const lookedAt = [
  "bench/peers/wllama.ts",
  "cli/completion.ts",
  "conformance/mutation/edits.ts",
  "conformance/mutation/schedule.ts",
  "conformance/mutation/text.ts",
  "conformance/own/declared.ts",
  "hub/name.ts",
  "tokenizer/jinja/format.ts",
];

describe("regular expressions", () => {
  it("are recognised where they are slow", () => {
    expect(["(a+)+", "^(?:a|b*)*$", "=+$", "(x{2,})*", "\\s*$"].filter((body) => slow(body) === null)).toEqual([]);
    expect(["^a+$", "(?:ab)+", "^(?:a|b)*c", "[+*]$", "a{1,3}", "(a+)?"].filter((body) => slow(body) !== null)).toEqual([]);
    expect(expressionsIn("x.replace(/a[/]b+/g, 1); y = a / b / c; z = /q/.test(y)")).toEqual(["a[/]b+", "q"]);
  });

  it("take time that grows as their text does", () => {
    const found = sources()
      .filter((path) => !path.startsWith("conformance/test/"))
      .flatMap((path) => expressionsIn(textOf(path)).map((body) => ({ path, body, why: slow(body) })));
    expect(found.length).toBeGreaterThan(100);
    expect(found.filter(({ path, why }) => why !== null && !lookedAt.includes(path))).toEqual([]);
    expect(lookedAt.filter((path) => !found.some((one) => one.path === path && one.why !== null))).toEqual([]);
  });
});

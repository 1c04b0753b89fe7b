/** Regular expressions in Oniguruma's syntax: against the reference library, what is refused, and how long they may take. */
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { replaceMatches } from "../../../tokenizer/growth.ts";
import { parsePattern } from "../../../tokenizer/pattern/parse.ts";
import { compileRegex } from "../../../tokenizer/pattern/pattern.ts";
import { byteLevelFolder, readJson } from "./fixtures.ts";

const golden = readJson<{
  patterns: { pattern: string; texts: string[]; replaced: string[] }[];
  classes: Record<string, [count: number, hash: number]>;
}>(`${byteLevelFolder}/patterns.json`);

function refusal(source: string): GureumError {
  try {
    compileRegex(source);
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    return error as GureumError;
  }
  throw new Error(`${source} was not refused`);
}

describe("a regular expression", () => {
  it("matches what Oniguruma matches, or is refused by name", () => {
    let refused = 0;
    for (const { pattern, texts, replaced } of golden.patterns) {
      let find: ReturnType<typeof compileRegex>;
      try {
        find = compileRegex(pattern);
      } catch (error) {
        expect((error as GureumError).code, pattern).toBe("unsupported");
        refused++;
        continue;
      }
      expect(
        texts.map((text) => replaceMatches(text, find, "<>", 1e4)),
        pattern,
      ).toEqual(replaced);
    }
    expect(refused).toBeLessThan(golden.patterns.length / 8);
  });

  it.each(Object.entries(golden.classes))("%s holds the code points that Oniguruma's does", (source, [count, hash]) => {
    const node = parsePattern(source);
    if (node.type !== "set") throw new Error("not a class");
    let members = 0;
    let value = 0x811c9dc5;
    for (let point = 1; point < 0x20000; point++) {
      if ((point >= 0xd800 && point <= 0xdfff) || !node.set.has(point)) continue;
      members++;
      value = Math.imul(value ^ point, 0x01000193) >>> 0;
    }
    expect([members, value]).toEqual([count, hash]);
  });

  const found = (source: string, text: string): string[] => {
    const matches = compileRegex(source)(text);
    return Array.from({ length: matches.length / 2 }, (_, i) => text.slice(matches[2 * i], matches[2 * i + 1]));
  };
  it("gives nothing back from an atomic group or a possessive quantifier", () => {
    expect(found("a++a", "aaa")).toEqual([]);
    expect(found("(?>a+)a", "aaa")).toEqual([]);
    expect(found("a+a", "aaa")).toEqual(["aaa"]);
    expect(found("a{1,2}+b", "aaab")).toEqual(["aaab"]);
  });
  it("ignores the case of ASCII letters, the long s and the Kelvin sign with them", () => {
    expect(found("(?i:'s)", "'s'S'\u017f's")).toEqual(["'s", "'S", "'\u017f", "'s"]);
    expect(found("(?i)k|b(?-i)C", "\u212aK Bc BC")).toEqual(["\u212a", "K", "BC"]);
  });
  it("counts in code points", () => {
    expect(found("^.{2}", "😀😀x")).toEqual(["😀😀"]);
    expect(found("(?<=😀).", "😀a")).toEqual(["a"]);
  });
  it("reads comments and the extended form", () => {
    expect(found("a(?#no)b", "ab")).toEqual(["ab"]);
    expect(found("(?x) a # letter\n b", "ab")).toEqual(["ab"]);
  });

  it.each([
    ["(a)\\1", /\\1 is not supported/],
    ["\\k<n>", /\\k is not supported/],
    ["(?<n>a)\\g<n>", /\\g is not supported/],
    ["\\X", /\\X is not supported/],
    ["\\K", /\\K is not supported/],
    ["\\G", /\\G is not supported/],
    ["(?~a)", /a group \(\?~ is not supported/],
    ["(?(1)a|b)", /a group \(\?\( is not supported/],
    ["(?{code})", /a group \(\?\{ is not supported/],
    ["(*FAIL)", /a callout/],
    ["(?W:\\w)", /a group \(\?W is not supported/],
    ["(?<=a+)b", /look-behind of varying length is not supported, expected a fixed number/],
    ["(a*)*", /a repetition of what may be empty/],
    ["a{3,2}", /a possessive interval/],
    ["\\p{Klingon_Script}", /\\p\{Klingon_Script\} is not supported/],
    ["\\p{Extended_Pictographic}", /\\p\{Extended_Pictographic\} is not supported/],
    ["(?i:\\p{Lu})", /without regard to case/],
    ["(?i:ß)", /"ß" without regard to case is not supported, expected ASCII letters/],
    ["(?i:mess)", /"ss" without regard to case, which a ligature would match/],
    ["(?:ab){20000}", /too large/],
    ["(?=a)+", /a repetition of a look-around/],
  ])("%s is refused by name", (source, message) => {
    const error = refusal(source);
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(message);
  });
  it("of more than 5,000 characters is refused by name", () => {
    expect(refusal("a".repeat(5001)).message).toMatch(/an expression of 5001 characters is not supported, expected at most 5000/);
  });
  it("with groups nested too deeply is refused by name", () => {
    expect(refusal(`${"(".repeat(200)}a${")".repeat(200)}`).message).toMatch(/groups are nested too deeply, expected at most 100 levels/);
    expect(refusal(`${"[".repeat(200)}a${"]".repeat(200)}`).message).toMatch(/a class nested so deeply/);
  });
  it.each([
    ["(a", /a \( without its \)/],
    ["a)", /a \) without its \(/],
    ["[a", /a \[ without its \]|ends too early/],
    ["*a", /a \* that follows nothing/],
    ["a\\", /ends too early/],
    ["[z-a]", /the range z-a is empty/],
  ])("%s is a broken expression", (source, message) => {
    const error = refusal(source);
    expect(error.code).toBe("format");
    expect(error.message).toMatch(message);
  });
});

describe("the time a regular expression takes", () => {
  const size = 100_000;
  const seconds = (source: string, text: string): number => {
    const find = compileRegex(source);
    const start = process.cpuUsage();
    try {
      find(text);
    } catch (error) {
      expect((error as GureumError).code).toBe("limit");
      expect((error as GureumError).message).toMatch(
        /too many steps on this text, expected at most \d+ for \d+ characters — split the text/,
      );
    }
    return process.cpuUsage(start).user / 1e6;
  };
  // Each takes exponential, cubic or quadratic time in a matcher that only backtracks.
  it.each([
    "(a+)+b",
    "(a|aa)+$b",
    "a*a*a*a*b",
    ".*.*=.*",
    "(?:(?:a|b)+?)+c",
    "(?=(a+)+b)a",
    "(?>a+)b",
    "(?>(?:a|a)+b)|x",
    "(?:a{1,3}){1,300}b",
    "a(?=.*b)",
  ])("%s ends on a long text, by a match or by a named limit", (source) => {
    expect(seconds(source, "a".repeat(size))).toBeLessThan(8);
  });
  it("grows as the text does where a backtracking matcher would be quadratic", () => {
    for (const source of ["(a+)+b", "a*a*a*a*b", ".*.*=.*"]) {
      const find = compileRegex(source);
      expect(find("a".repeat(size))).toEqual([]);
    }
  });
});

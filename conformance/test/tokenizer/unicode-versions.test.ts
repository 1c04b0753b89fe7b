/** The tables of where the reference's Unicode is older than an engine's, by totals that the reference gives. */
import { describe, expect, it } from "vitest";
import { isAfterUnicode16, isMark, isPunctuation } from "../../../tokenizer/unicode-versions.ts";

/** Code points from U+0001 on, without surrogates, in a class. */
function count(isMember: (point: number) => boolean): number {
  let members = 0;
  for (let point = 1; point < 0x110000; point++) if ((point < 0xd800 || point > 0xdfff) && isMember(point)) members++;
  return members;
}

/** An engine with an older Unicode lacks characters; docs/formats/tokenizer.md says so. */
const complete = Number.parseInt(process.versions.unicode ?? "0", 10) >= 16;

describe("the reference's Unicode", () => {
  const assigned = /^\P{Cn}$/u;
  it.runIf(complete)("16 of its regular expressions has 292,530 characters: an engine with a newer one shows no more", () => {
    expect(count((point) => assigned.test(String.fromCodePoint(point)) && !isAfterUnicode16(point))).toBe(292_530);
  });
  it.runIf(complete)("has 726 punctuation characters and 2,097 combining marks", () => {
    expect(count(isPunctuation)).toBe(726);
    expect(count(isMark)).toBe(2097);
  });
});

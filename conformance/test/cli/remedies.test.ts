/** What a line of failure says where the error itself says only what is wrong. */
import { expect, it } from "vitest";
import { lineOf } from "../../../cli/remedies.ts";
import { GureumError } from "../../../core/errors.ts";

it("ends in what to do, by the error's kind, unless the error says what to do, or what was expected of a file", () => {
  expect(lineOf(new GureumError("format", { where: "vocab", what: "id 3 is given twice" }))).toMatch(
    /^vocab: id 3 is given twice — get the file anew/,
  );
  for (const more of [{ remedy: "do this" }, { expected: "a number" }]) {
    const error = new GureumError("format", { what: "wrong", ...more });
    expect(lineOf(error)).toBe(error.message);
  }
  expect(lineOf(new GureumError("unsupported", { where: "model", what: 'of type "WordPiece"', expected: "BPE or Unigram" }))).toMatch(
    / — docs\/supported\.md says what gureum runs$/,
  );
  expect(lineOf(new GureumError("usage", { what: "a number", expected: "1" }))).toBe("a number, expected 1");
});

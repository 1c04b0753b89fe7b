import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { namesParts, occursIn } from "../../../core/names.ts";

describe("a pattern of names", () => {
  it("without a star is the text itself, whatever characters it has", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (before, text, after) => {
        const pattern = text.replaceAll("*", "");
        expect(occursIn(pattern)(before + pattern + after)).toBe(true);
        expect(namesParts(pattern)(pattern)).toBe(true);
        expect(namesParts(pattern)(`${pattern}x`)).toBe(false);
      }),
    );
  });

  it.each([
    [occursIn, "rms*gpu", "rms-norm webgpu/rms-norm", true],
    [occursIn, "gpu*rms", "rms-norm webgpu/rms", true],
    [occursIn, "cpu*norm", "rms-norm webgpu/rms-norm", false],
    [occursIn, "", "anything", true],
    [namesParts, "layers.*.q", "layers.11.q", true],
    [namesParts, "layers.*.q", "layers.11.qRope", false],
    [namesParts, "layers.*", "layers.11.q", false],
    [namesParts, "*", "logits", true],
    [namesParts, "*", "layers.0.q", false],
  ] as const)("%o of %j in %j is %j", (match, pattern, name, expected) => {
    expect(match(pattern)(name)).toBe(expected);
  });

  it("of any number of stars takes no longer than it is long", () => {
    const name = "a".repeat(5000);
    for (const match of [occursIn, namesParts]) expect(match(`${"a*".repeat(28)}b`)(name)).toBe(false);
    expect(namesParts("a*a*a")("aa")).toBe(false);
    expect(namesParts("a*a*a")("aaa")).toBe(true);
    expect(namesParts("*ab*ab")("xab")).toBe(false);
  });
});

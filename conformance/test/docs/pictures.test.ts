/** The committed pictures, as text: whole, and without a trace of the machine that drew them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const picture = (name: string): string => readFileSync(new URL(`../../../docs/pictures/${name}.svg`, import.meta.url), "utf8");

describe("docs/pictures", () => {
  it.each(["chat", "conformance", "roofline"])("%s.svg is a whole picture, of this product, and names no path", (name) => {
    const svg = picture(name);
    expect(svg.startsWith("<svg ") && svg.trimEnd().endsWith("</svg>")).toBe(true);
    expect(svg.match(/<(svg|g|text|tspan|style)\b/g)!.length).toBe(svg.match(/<\/(svg|g|text|tspan|style)>/g)!.length);
    expect(svg).toContain("gureum");
    expect(svg).not.toMatch(/\/(?:tmp|home|root|work)\/|NaN|undefined/);
  });
});

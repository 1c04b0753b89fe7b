/** A few inputs to every parser, always the same ones, and everything that was ever found. About 10 s; `npm run fuzz` is the long hunt. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { makeInput } from "./mutate.ts";
import { targets } from "./targets.ts";
import { tryInput } from "./try.ts";

const finds = new URL("./finds/", import.meta.url);

describe("parsers", () => {
  it.each(Object.keys(targets))("give a value or a named error of one short line for any bytes: %s", async (name) => {
    for (let round = 0; round < 150; round++) {
      const wrong = await tryInput(name, makeInput(targets[name]!, 20261126, round));
      expect(wrong && `round ${round}: ${wrong}`).toBeNull();
    }
  });

  it.each(readdirSync(finds).filter((name) => !name.endsWith(".md")))("do so for what was found once: %s", async (file) => {
    const name = file.slice(0, file.lastIndexOf("-"));
    expect(await tryInput(name, new Uint8Array(readFileSync(new URL(file, finds))))).toBeNull();
  });

  it("have seeds of less than a megabyte in all", () => {
    const all = new Set(Object.values(targets).flatMap(({ seeds }) => seeds));
    expect([...all].reduce((sum, { length }) => sum + length, 0)).toBeLessThan(1_000_000);
  });
});

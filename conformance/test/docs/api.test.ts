/**
 * The reference of the public types: `deno doc --lint` over the doors of the package. Every exported name and every member says what it is,
 * and speaks of no type that cannot be imported. About 8 s of CPU.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const doors = ["index.ts", "tokenizer/tokenizer.ts", "conformance/index.ts", "bench/index.ts"];

/** Types of packages, which have references of their own. */
const foreign = ["Float16Array", "Arbitrary"];

describe("the public types", () => {
  it("are documented throughout, and name no type that is private", async () => {
    const said = await new Promise<string>((resolve) => {
      execFile(
        "npx",
        ["deno", "doc", "--lint", ...doors],
        { cwd: root, env: { ...process.env, NO_COLOR: "1" }, maxBuffer: 1 << 26 },
        (_error, out, err) => resolve(out + err),
      );
    });
    const findings = [...said.matchAll(/^error\[([\w-]+)\]: (.*)\n\s*--> (.*)$/gm)].map(
      ([, kind, what, where]) => `${where!.replace(root, "")} ${kind}: ${what}`,
    );
    const others = findings.filter((line) => !foreign.some((name) => line.endsWith(`references private type '${name}'`)));
    expect(others).toEqual([]);
    // What is let through is there: the tool ran, and said so.
    expect(findings.length).toBe(foreign.length);
  });
});

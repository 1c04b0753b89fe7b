/** The reading path that docs/architecture.md names. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), "utf8");

describe("the reading path of docs/architecture.md", () => {
  const section = /## A reading path\n([\s\S]*?)\n## /.exec(read("docs/architecture.md"))![1]!;
  const files = [...section.matchAll(/^\| `([^`]+\.ts)` \|/gm)].map((row) => row[1]!);

  it("goes from the config over the weights, the model and five ops to the sampler", () => {
    expect(files[0]).toBe("core/config.ts");
    expect(files).toContain("core/model/llama.ts");
    expect(files.filter((file) => file.startsWith("core/ops/"))).toHaveLength(5);
    expect(files.at(-1)).toBe("core/sample/sampler.ts");
  });

  it("has at most 1,000 lines", () => {
    const lines = files.reduce((sum, file) => sum + read(file).trimEnd().split("\n").length, 0);
    expect(lines).toBeLessThanOrEqual(1000);
  });
});

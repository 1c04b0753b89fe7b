/**
 * The programs under docs/examples, as they are built, run by Node as a reader would run them. About 10 s of CPU in
 * all.
 */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const folder = new URL("../../../docs/examples/", import.meta.url);
const built = new URL("../../../dist/docs/examples/", import.meta.url);

/** What each prints, in lines. */
const prints: Record<string, readonly (string | RegExp)[]> = {
  stream: ["저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.", "17 tokens, ended by: stop"],
  logits: [/^"▁안녕" −ln p = 8\.39/, /^mean 3\.62\d\d, perplexity 37\.\d\d$/],
  "trace-and-steer": [
    /^strength -4: next piece/,
    'strength 0: next piece "▁"',
    /^layers\.7\.residual \[5, 256\]: norm at the last position 136\./,
  ],
  "own-byte-store": ["fetched by ranges; 4096 logits"],
  weights: [
    "model.norm.weight F16 [256]: largest 3.025",
    "model.layers.0.self_attn.q_proj int4 [256,256]: root mean square 0.3503",
    "rows of two ids: cosine -0.276",
    /^greeting and farewell: cosine 0\.840; greeting and weather: 0\.558$/,
    /^perplexity 37\.\d\d ± \d+\.\d\d over 11 tokens$/,
  ],
  "one-law": ["right: holds", "one element short: violated"],
};

/** Kernels, which the command runs (conformance/test/cli/own.test.ts). */
const kernels: readonly string[] = ["own-kernel"];

describe("docs/examples", () => {
  it("are the programs that are run here, and the kernels that the command runs", () => {
    const names = readdirSync(folder)
      .filter((name) => name.endsWith(".ts"))
      .map((name) => name.slice(0, -3));
    expect(names.sort()).toEqual([...Object.keys(prints), ...kernels].sort());
  });

  for (const [name, lines] of Object.entries(prints))
    it(`${name} prints what it should, and nothing to stderr`, async () => {
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL(`${name}.js`, built))]);
      expect(stderr).toBe("");
      const printed = stdout.trimEnd().split("\n");
      for (const line of lines)
        expect(
          printed.some((got) => (typeof line === "string" ? got === line : line.test(got))),
          `${line} in\n${stdout}`,
        ).toBe(true);
    });

  it("steer changes the next token, and only where it is asked to", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(new URL("trace-and-steer.js", built))]);
    const pieces = [...stdout.matchAll(/next piece (".*")/g)].map(([, piece]) => piece);
    expect(new Set(pieces).size).toBe(3);
  });
});

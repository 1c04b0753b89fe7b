/** The built command on WebGPU: what `device` lists, what forces a variant, what `--stats` counts. */
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Choice, variants } from "../../../gpu/programs/plan.ts";
import { gureum as spoken } from "./gureum.ts";

const cli = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));

const gureum = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], (error, out, err) =>
      resolve({ code: error ? Number((error as { code?: unknown }).code) : 0, out, err }),
    );
  });

interface Part {
  readonly gpuMs: number | null;
  readonly encodeMs: number;
  readonly submitMs: number;
  readonly waitMs: number;
  readonly submissions: number;
  readonly passes: number;
  readonly dispatches: number;
  readonly dispatchesPerPass: number;
}
interface Answer {
  readonly text: string;
  readonly promptTokens: number;
  readonly stats: { readonly prefill: Part; readonly decode: Part };
}

const question = "너는 누구니?";
const answer = "저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.";

describe("gureum on WebGPU", () => {
  it("lists with `device` the variants that would run, and those of a model with --model", async () => {
    const { out } = await gureum("device", "--json");
    const { variants: choices, cache } = JSON.parse(out) as { variants: Choice[]; cache: string };
    expect(choices.map(({ step, variant }) => [step, variant])).toEqual(variants.map(({ step, name }) => [step, name]));
    expect(cache).toBe("f16");
    expect((await gureum("device")).out).toMatch(/^ {2}\* fixed16 +the first that this device and model allow \(embed-fixed16, /m);
    expect(await gureum("device", "--model", "/nonexistent")).toMatchObject({ code: 1, out: "" });
  });

  it("holds a conversation, a question a line", async () => {
    const { code, out } = await spoken(["chat", "--backend", "webgpu", "--max-new-tokens", "30"], `안녕하세요\n${question}\n`);
    expect(out).toMatch(/^안녕하세요\. 만나서 반가워요\.\n\S.*\n$/);
    expect(code).toBe(0);
  });

  it("counts with --stats what went to the GPU, the prompt apart from the tokens", async () => {
    const words = ["chat", question, "--backend", "webgpu", "--stats"];
    const { text, promptTokens, stats } = JSON.parse((await gureum(...words, "--json")).out) as Answer;
    expect(text).toBe(answer);
    const { prefill, decode } = stats;
    // Each chunk's first layers alone, then the others.
    const parts = 2 * Math.ceil(promptTokens / 128);
    expect(prefill).toMatchObject({ submissions: parts, passes: parts });
    // The first token alone, then batches of eight, several of them a submission.
    expect(decode.passes % 8).toBe(1);
    expect(decode.submissions).toBeLessThan(decode.passes);
    expect(decode.dispatches / decode.passes).toBeCloseTo(decode.dispatchesPerPass, 2);
    for (const part of [prefill, decode]) {
      for (const ms of [part.encodeMs, part.submitMs, part.waitMs]) expect(ms).toBeGreaterThan(0);
      if (part.gpuMs !== null) expect(part.gpuMs).toBeGreaterThan(0);
    }
    const { err } = await gureum(...words);
    expect(err).toMatch(/^prefill: gpu .* ms; 2 submissions, 2 passes of \d+\.\d dispatches$/m);
    expect(err).toMatch(/^decode: gpu /m);
  });

  it("runs the variants that are forced, with fewer dispatches where they are fused", async () => {
    const passes = async (...words: string[]): Promise<number> => {
      const { text, stats } = JSON.parse(
        (await gureum("chat", question, "--backend", "webgpu", "--stats", "--json", ...words)).out,
      ) as Answer;
      expect(text).toBe(answer);
      return stats.decode.dispatchesPerPass;
    };
    expect(await passes("--arithmetic", "fixed16")).toBeLessThan((await passes("--kernel", "linear=awq-matmul")) / 2);
  });

  it("names in one line what cannot be done together", async () => {
    const { code, err } = await gureum("chat", "a", "--arithmetic", "fixed16", "--kv-cache", "f32");
    expect(code).toBe(1);
    expect(err).toMatch(/^gureum: linear > fixed16: cannot run: it needs an f16 cache, f32 is asked for/m);
  });
});

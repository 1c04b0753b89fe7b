/**
 * The same sources, unbuilt, in Deno on its own WebGPU (wgpu, naga): another compiler and another implementation of
 * every call.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { testDevice } from "./device.ts";

interface Report {
  readonly compiled: readonly string[];
  readonly refused: Readonly<Record<string, string>>;
  readonly blockSums: { readonly cases: number; readonly failures: readonly unknown[] };
  readonly logits: readonly { name: string; error: number; largest: number }[];
  readonly texts: readonly { name: string; same: boolean }[];
  readonly drawn: readonly number[];
}

let report: Report;
beforeAll(async () => {
  const script = fileURLToPath(new URL("goldens-run.ts", import.meta.url));
  const { stdout } = await promisify(execFile)("npx", ["deno", "run", "-A", script, "--portable"], { maxBuffer: 1 << 24 });
  report = JSON.parse(stdout.trim().split("\n").at(-1)!) as Report;
});

describe("in Deno", () => {
  it("every portable kernel compiles", () => {
    expect(report.refused).toEqual({});
    expect(report.compiled.length).toBeGreaterThan(0);
  });

  it("logits are within 1e-5 of the largest logit", () => {
    expect(report.logits.length).toBeGreaterThan(0);
    for (const { name, error, largest } of report.logits) expect(error, name).toBeLessThanOrEqual(1e-5 * largest);
  });

  it("integer block sums of fixed16 are those of the CPU", () => {
    expect(report.blockSums.failures).toEqual([]);
    expect(report.blockSums.cases).toBeGreaterThan(40);
  });

  it("greedy text is that of the goldens, in f32, in fixed16 and by default", () => {
    expect(report.texts).toHaveLength(12);
    expect(report.texts.filter(({ same }) => !same)).toEqual([]);
  });

  it("a seed draws the tokens that it draws in Node", async () => {
    const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
    const model = await loadGpuModel(await testDevice(), checkpoint.config, checkpoint.refs, { arithmetic: "f32" });
    const session = model.createSession(64);
    await session.prefill([1, 5, 9]);
    expect((await session.decode({ ...greedy, temperature: 0.8, topP: 0.9, seed: 11n }, 16)).ids).toEqual(report.drawn);
    model.dispose();
    await checkpoint.close();
  });
});

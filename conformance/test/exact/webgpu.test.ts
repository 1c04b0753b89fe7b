/**
 * The logits of `exact` on WebGPU are those on record: Dawn here, wgpu in Deno, any chunk. Nearly all of the time is compiling for software
 * Vulkan, each way of feeding anew.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { embeddedCase, randomCases } from "../fixtures/exact-models.ts";
import { dataFile } from "../fixtures/golden.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { testDevice } from "../gpu/device.ts";
import { webgpuHashes } from "./webgpu-hashes.ts";

/** Software Vulkan compiles a kernel in seconds, on a busy machine in tens of them. */
const PATIENCE = 600_000;
const hashes = JSON.parse(readFileSync(dataFile("exact/hashes.json"), "utf8")) as Record<string, string>;

describe("exact on Dawn", () => {
  it.each(randomCases().map((c, i) => [c.name, c, i] as const))(
    "gives the logits on record, at once, and by threes or one by one (both where GUREUM_LONG=1): %s",
    async (name, c, i) => {
      const ways = process.env.GUREUM_LONG === "1" ? [3, 1] : [i % 2 === 0 ? 1 : 3];
      const chunks = [c.ids.length, ...ways];
      expect(await webgpuHashes(await testDevice(), c, chunks)).toEqual(chunks.map(() => hashes[name]));
    },
  );

  it(
    "gives the logits of gureum-tiny-awq that are on record",
    async () => {
      const c = await embeddedCase();
      expect(await webgpuHashes(await testDevice(), c, [17, 1])).toEqual([hashes[c.name], hashes[c.name]]);
    },
    PATIENCE,
  );

  it(
    "draws the ids of the CPU with the CPU's log-probabilities, to the last bit",
    async () => {
      const { config, weights } = await embeddedCase();
      const options = { ...greedy, temperature: 0.8, topP: 0.9, repetitionPenalty: 1.1, seed: 11n };
      const drawn = await Promise.all(
        [exactCpuModel(config, weights), await loadExactGpuModel(await testDevice(), config, memoryRefs(weights))].map(async (model) => {
          const session = model.createSession(32);
          await session.prefill([1, 5, 9]);
          const first = await session.decode(options, 6);
          return [first, await session.decode(greedy, 6)];
        }),
      );
      expect(drawn[1]).toEqual(drawn[0]);
    },
    PATIENCE,
  );

  it(
    "shows every value on the way as the CPU does, takes the same hooks, and goes on in a fork as in its origin",
    async () => {
      const { config, weights, ids } = randomCases()[0]!;
      // A subnormal weight of a norm is 0, on a device too.
      weights.layers[1]!.postAttentionLayernorm.fill(2 ** -126 - 2 ** -149);
      const options = {
        logits: "all" as const,
        trace: ["embeddings", "layers.*.*", "finalNorm", "logits"],
        steer: { "layers.0.residual": ({ data }: { data: Float32Array }) => data.map((v, i) => (i === 3 ? Number.NaN : v * 1.1)) },
      };
      const cpu = await exactCpuModel(config, weights).createSession(32).forward(ids, options);
      const model = await loadExactGpuModel(await testDevice(), config, memoryRefs(weights));
      const gpu = await model.createSession(32).forward(ids, options);
      expect([...gpu.trace.keys()]).toEqual([...cpu.trace.keys()]);
      for (const [name, { data, shape }] of cpu.trace) {
        expect(gpu.trace.get(name)!.shape, name).toEqual(shape);
        expect(gpu.trace.get(name)!.data, name).toEqual(data);
      }
      expect(gpu.logits).toEqual(cpu.logits);

      // A fork late in a context: what was copied is all that was cached.
      const long = Array.from({ length: 1100 }, (_, i) => (i * 7) % config.vocabSize);
      const session = model.createSession(1200);
      await session.prefill(long);
      const fork = await session.fork();
      expect((await fork.forward(ids)).logits).toEqual((await session.forward(ids)).logits);
      model.dispose();
    },
    PATIENCE,
  );
});

describe("exact on wgpu, in Deno", () => {
  it(
    "gives the logits on record, at once and (two models, all where GUREUM_LONG=1) one by one",
    async () => {
      const script = fileURLToPath(new URL("webgpu-hashes.ts", import.meta.url));
      const { stdout } = await promisify(execFile)("npx", ["deno", "run", "-A", script], { maxBuffer: 1 << 24 });
      const found = JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, readonly string[]>;
      expect(Object.fromEntries(Object.entries(found).map(([name, all]) => [name, [...new Set(all)]]))).toEqual(
        Object.fromEntries(Object.entries(hashes).map(([name, hash]) => [name, [hash]])),
      );
      expect(found["int4, groups of 32"]).toHaveLength(2);
    },
    PATIENCE,
  );
});

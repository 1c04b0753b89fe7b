/**
 * Long contexts by the host's code of WebGPU, on a device in JavaScript (fixtures/fake-device.ts) that computes the plain steps with core's ops: the
 * bits are the CPU's but for RoPE's table, which is f32. About 10 s.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import type { TokenEvent } from "../../../core/generate/answer.ts";
import { generateAll } from "../../../core/generate/generate-all.ts";
import { argmax, greedy } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { fakeGpu } from "../fixtures/fake-device.ts";
import { plainOptions } from "../fixtures/generating.ts";
import { arbitraryLongConfig, expectedOf, LONGEST, type LongModel, longIds, penalized } from "../fixtures/long-model.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { randomModel } from "../fixtures/random-model.ts";
import { holdLogprob, longLaws } from "../long-laws.ts";

/** The kernels that the device has. */
const kernels = { linear: "awq-matmul", dense: "matmul", "dense-prefill": "matmul-tiled" };

async function longGpuModel(given: LlamaConfig, seed: number, software: boolean): Promise<LongModel> {
  const config = { ...given, headDim: 8 };
  const { weights } = randomModel(config, seed);
  const { gpu, passes, look } = await fakeGpu({ software });
  const model = await loadGpuModel(gpu, config, memoryRefs(weights), { arithmetic: "f32", kernels });
  return { model, passes, look, expected: expectedOf(config, weights, Math.fround) };
}

describe.each([
  ["in chunks of 512", false, 512],
  ["in chunks of 128, as software is fed", true, 128],
])("a long context on WebGPU %s", (_, software, chunk) => {
  longLaws((config, seed) => longGpuModel(config, seed, software), { numRuns: 6, chunk });
});

describe("the fused kernels of one token", () => {
  it("have room for as long a context as any, since the splits of attention are as many as run at once at most", async () => {
    const [given] = fc.sample(arbitraryLongConfig, { numRuns: 1, seed: 5 });
    const config = { ...given!, hiddenSize: 16, intermediateSize: 16, headDim: 8 };
    const { gpu, look } = await fakeGpu();
    const { linear: _, ...others } = kernels;
    const refs = memoryRefs(randomModel(config, 1).weights);
    const model = await loadGpuModel(gpu, config, refs, { arithmetic: "f32", kernels: others });
    expect(model.plan.programs[0]!.name).toBe("f32");
    const ids = longIds(config, 1, 20);
    look.add(19);
    const session = model.createSession(LONGEST);
    await session.prefill(ids);
    expect(session.ids).toEqual(ids);
    model.dispose();
  });
});

describe("long sequences together on WebGPU", () => {
  it("give what each gives alone, each in its own slot", async () => {
    const [config] = fc.sample(
      arbitraryLongConfig.filter(({ slidingWindow, ropeScaling }) => slidingWindow === null && ropeScaling.type === "llama3"),
      { numRuns: 1, seed: 5 },
    );
    const { model, look, expected } = await longGpuModel(config!, 4, false);
    const given = [70_000, 5, 4097, 130_900, 63, 64, 65].map((length, i) => ({
      // The first ids are seen there alone: a penalty must know them.
      prompt: [1, 2, 3, 4].map((n) => config!.vocabSize - n).concat(longIds(config!, i, length)),
      options: plainOptions(9 + i, i % 2 === 0 ? { sampling: { ...greedy, repetitionPenalty: 1.4 } } : {}),
    }));
    // Prompts with a long beginning in common, one after the other: it is fed once.
    const common = longIds(config!, 50, 3000);
    for (const tail of [[3, 1], [2, 2, 0], [3]]) given.push({ prompt: [...common, ...tail], options: plainOptions(9) });
    for (const { prompt } of given) look.add(prompt.length - 1);
    // Of 70,000 keys a few thousand wrong ones hardly change an id, but its probability.
    const logprobs: number[][] = given.map(() => []);
    const onToken = (index: number, { id, logprob }: TokenEvent): void => void (id !== null && logprobs[index]!.push(logprob!));
    const outcomes = await generateAll(model, given, { sequences: 3, onToken });
    for (const [i, { prompt, options }] of given.entries()) {
      const outcome = outcomes[i]!;
      if (!outcome.ok) throw outcome.error;
      expect(outcome.ids).toHaveLength(options.maxNewTokens);
      const known = [...prompt];
      for (const [n, id] of outcome.ids.entries()) {
        const logits = expected(known, LONGEST);
        holdLogprob(logprobs[i]![n]!, logits, id);
        expect(id, `sequence ${i}, position ${known.length}`).toBe(argmax(penalized(logits, known, options.sampling.repetitionPenalty)));
        known.push(id);
      }
    }
    model.dispose();
  });
});

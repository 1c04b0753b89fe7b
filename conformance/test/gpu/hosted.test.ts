/** Draws on the host and guesses on WebGPU: hooks, alternatives, speculation; sessions in exact. Half a minute on software Vulkan. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { type GenerateOptions, type GenerateResult, generate } from "../../../core/generate/generate.ts";
import { generateAll } from "../../../core/generate/generate-all.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import type { Model } from "../../../core/model/engine.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { isNearTie } from "../../accuracy/near-tie.ts";
import { plainOptions } from "../fixtures/generating.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { sessionLaws } from "../session-laws.ts";
import { testDevice } from "./device.ts";

const [config] = fc.sample(arbitraryConfig, { numRuns: 1, seed: 7 });
const { weights } = randomModel(config!, 1);
let f32: Model;
let exact: Model;
let cpu: Model;
beforeAll(async () => {
  f32 = await loadGpuModel(await testDevice(), config!, memoryRefs(weights));
  exact = await loadExactGpuModel(await testDevice(), config!, memoryRefs(weights));
  cpu = exactCpuModel(config!, weights);
});
afterAll(() => {
  f32?.dispose();
  exact?.dispose();
});

async function run(model: Model, prompt: readonly number[], maxContext: number, given: Partial<GenerateOptions>): Promise<GenerateResult> {
  const session = model.createSession(maxContext);
  const decoder = { push: () => "", flush: () => "" };
  const it = generate(session, prompt, {
    sampling: greedy,
    maxNewTokens: 16,
    stopIds: new Set(),
    stop: [],
    topLogprobs: 0,
    decoder,
    ...given,
  });
  for (;;) {
    const step = await it.next();
    if (!step.done) continue;
    session.dispose();
    return step.value;
  }
}

const prompt = [1, 3, 1, 3, 2, 1, 3];
const random = { temperature: 1.1, topK: 7, topP: 0.95, minP: 0.01, repetitionPenalty: 1.2, seed: 77n };

describe("a session on WebGPU, exact", () => sessionLaws(async () => exact));

it("a session in exact gives the CPU's words, drawn in every way, forked, cut, fed on and watched", async () => {
  const penalized = { ...greedy, repetitionPenalty: 1.3 };
  const story = async (model: Model): Promise<unknown[]> => {
    const session = model.createSession(60);
    await session.prefill([1, 2, 3, 1, 2]);
    const told: unknown[] = [];
    for (const sampling of [random, greedy, penalized]) told.push(await session.decode(sampling, 4), [...session.ids]);
    const fork = await session.fork();
    told.push(await fork.decode(random, 3), await session.decode(random, 3));
    session.truncate(4);
    await session.prefill([2]);
    told.push(await session.decode(random, 2), (await session.forward([1, 3], { logits: "all" })).logits);
    told.push((await session.forward([2], { trace: ["finalNorm"] })).logits, [...session.ids]);
    for (const one of [fork, session]) one.dispose();
    return told;
  };
  expect(await story(exact)).toEqual(await story(cpu));
});

it("a batch in exact gives on WebGPU what each sequence gives alone on the CPU", async () => {
  const items = [random, greedy, { ...random, seed: 3n }, { ...greedy, repetitionPenalty: 1.3 }].map((sampling, i) => ({
    prompt: prompt.slice(i),
    options: plainOptions(5 + i, { sampling, topLogprobs: 2 }),
  }));
  const alone = await Promise.all(items.map(({ prompt: own, options }) => run(cpu, own, 40, options)));
  const expected = alone.map((one, i) => ({ ok: true, promptTokens: items[i]!.prompt.length, ...one }));
  for (const sequences of [1, 3]) expect(await generateAll(exact, items, { sequences })).toEqual(expected);
});

describe("on WebGPU", () => {
  it("guesses give the ids of one by one where a pass has the bits of its rows", async () => {
    expect(f32.sameBitsRows).toBe(7);
    for (const speculate of [{ from: "prompt" }, { from: "draft", draft: f32, tokens: 6 }, { from: "draft", draft: cpu }] as const) {
      const { speculation, ...result } = await run(f32, prompt, 40, { speculate });
      expect(result).toEqual(await run(f32, prompt, 40, {}));
      expect(speculation!.sameBits).toBe(true);
      expect(speculation!.drafted).toBeGreaterThan(0);
      if ("draft" in speculate && speculate.draft === f32) expect(speculation!.rejected).toBe(0);
    }
  });

  it("in exact, hooks and guesses give the CPU's ids, drawn at random", async () => {
    expect(exact.sameBitsRows).toBe(Infinity);
    const processLogits = (ids: readonly number[], logits: Float32Array): undefined => {
      for (let id = ids.length % 2; id < logits.length; id += 2) logits[id] = -Infinity;
    };
    for (const sampling of [random]) {
      const alone = await run(cpu, prompt, 40, { sampling, processLogits });
      expect(await run(exact, prompt, 40, { sampling, processLogits })).toEqual(alone);
      const { speculation, ...result } = await run(exact, prompt, 40, {
        sampling,
        processLogits,
        speculate: { from: "prompt", tokens: 9 },
      });
      expect(result).toEqual(alone);
      expect(speculation!.sameBits).toBe(true);
    }
  });

  it("a hook that changes nothing changes no id", async () => {
    const plain = await run(f32, prompt, 40, {});
    expect(await run(f32, prompt, 40, { processLogits: () => undefined })).toEqual(plain);
    expect(await run(f32, prompt, 40, { topLogprobs: 2 })).toEqual(plain);
  });

  it("in fixed16, guesses part from one by one at a near tie at most, and say that they may", async () => {
    const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
    const model = await loadGpuModel(await testDevice(), checkpoint.config, checkpoint.refs, { arithmetic: "fixed16" });
    expect(model.sameBitsRows).toBe(1);
    for (const text of [
      [1, 2038, 2544, 1530, 2038, 2544],
      [1, 700, 900, 700, 900, 700],
    ]) {
      const alone = await run(model, text, 64, { maxNewTokens: 24 });
      const { speculation, ids } = await run(model, text, 64, { maxNewTokens: 24, speculate: { from: "prompt" } });
      expect(speculation!.sameBits).toBe(false);
      expect(speculation!.accepted).toBeGreaterThan(0);
      const parted = ids.findIndex((id, i) => id !== alone.ids[i]);
      if (parted < 0) continue;
      // What each way computed there, fed as it was fed.
      const [one, rows] = [model.createSession(64), model.createSession(64)];
      await one.prefill(text);
      for (const id of ids.slice(0, parted)) await one.forward([id]);
      const { logits } = await rows.forward([...text, ...ids.slice(0, parted)], { logits: "all" });
      const [a, b] = [await one.logits(), logits.slice(-model.config.vocabSize)];
      const delta = a.reduce((most, l, id) => Math.max(most, Math.abs(l - b[id]!)), 0);
      expect(isNearTie(a, greedy, 0, delta)).toBe(true);
    }
    model.dispose();
    await checkpoint.close();
  });
});

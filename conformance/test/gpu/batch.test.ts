/**
 * Many sequences together on WebGPU: each draws what it draws alone, but for near ties; options, hooks and failures stay its own. About 10 s on
 * software Vulkan.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import { type GenerateOptions, type GenerateResult, generate } from "../../../core/generate/generate.ts";
import { generateAll, type Item, type Outcome } from "../../../core/generate/generate-all.ts";
import type { Model, SamplingOptions } from "../../../core/model/engine.ts";
import { uniformAt } from "../../../core/sample/random.ts";
import { greedy, penalize } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { batchRefusal } from "../../../gpu/programs/batch.ts";
import { isNearTie } from "../../accuracy/near-tie.ts";
import { drawDelta, wgsl } from "../../accuracy.ts";
import { letters, plainOptions } from "../fixtures/generating.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { testDevice } from "./device.ts";

/** What two ways to compute a logit may differ by, of the largest: docs/sampling.md, "Near ties". */
const LOGIT_ERROR = 2e-5;

const configs = fc
  .sample(arbitraryConfig, { numRuns: 40, seed: 11 })
  .filter((config) => batchRefusal(config) === undefined)
  .slice(0, 2)
  .map((config, i): LlamaConfig => ({ ...config, vocabSize: 40, maxPositionEmbeddings: 256, ...(i === 0 ? { slidingWindow: 5 } : {}) }));

const options = (more: Partial<GenerateOptions> = {}): GenerateOptions => plainOptions(9, more);

async function alone(model: Model, prompt: readonly number[], given: GenerateOptions): Promise<GenerateResult> {
  const session = model.createSession(prompt.length + given.maxNewTokens);
  const run = generate(session, prompt, { ...given, decoder: letters() });
  for (;;) {
    const step = await run.next();
    if (!step.done) continue;
    session.dispose();
    return step.value;
  }
}

/** Whether the draw at `position` is a near tie in the model's own logits there. */
async function isTieAt(model: Model, ids: readonly number[], sampling: SamplingOptions): Promise<boolean> {
  const session = model.createSession(ids.length + 1);
  const { logits } = await session.forward(ids);
  session.dispose();
  const largest = logits.reduce((most, l) => Math.max(most, Math.abs(l)), 0);
  const scores = logits.slice();
  if (sampling.repetitionPenalty !== 1) penalize(scores, ids, sampling.repetitionPenalty);
  return isNearTie(scores, sampling, uniformAt(sampling.seed, ids.length), drawDelta(logits, sampling, LOGIT_ERROR * largest, wgsl));
}

const samplings: readonly SamplingOptions[] = [
  greedy,
  { ...greedy, repetitionPenalty: 1.3 },
  { temperature: 0.9, topK: 5, topP: 1, minP: 0, repetitionPenalty: 1, seed: 3n },
  { temperature: 1.3, topK: 0, topP: 0.9, minP: 0.02, repetitionPenalty: 1.1, seed: 4n },
];

describe.each(configs.map((config, i) => [i, config] as const))("many sequences on WebGPU, model %d", (i, config) => {
  let model: Model;
  beforeAll(async () => {
    model = await loadGpuModel(await testDevice(), config, memoryRefs(randomModel(config, 5 + i).weights), { arithmetic: "f32" });
  });
  afterAll(() => model?.dispose());

  /** Lengths of prompts long enough for passes of their own, which share 70 ids. */
  const lengths: Readonly<Record<number, number>> = { 4: 80, 5: 75, 7: 90, 8: 71 };
  /** Prompts of different lengths; options in turn; more than there are slots. */
  const items = Array.from({ length: 13 }, (_, n): Extract<Item, { prompt: unknown }> => {
    const prompt = Array.from(
      { length: lengths[n] ?? 1 + ((5 * n) % 11) },
      (_unused, j) => (7 * (lengths[n] && j < 70 ? 4 : n) + 3 * j) % 40,
    );
    return { prompt, options: options({ sampling: samplings[n % samplings.length]!, maxNewTokens: 1 + ((4 * n) % 13) }) };
  });

  it.each([
    ["greedy alone", items.filter(({ options }) => options.sampling === greedy), 4],
    ["mixed with random draws and penalties", items, 5],
    ["in ten slots, by the kernels for many rows", items, 10],
  ])("draw what each draws alone: %s", async (_, these, sequences) => {
    const outcomes = await generateAll(model, these, { sequences });
    let same = 0;
    for (const [n, { prompt, options: given }] of these.entries()) {
      const outcome = outcomes[n]!;
      if (!outcome.ok) throw outcome.error;
      const one = await alone(model, prompt, given);
      const parted = one.ids.findIndex((id, at) => id !== outcome.ids[at]);
      if (parted < 0) {
        same++;
        expect(outcome).toEqual({ ok: true, promptTokens: prompt.length, ...one });
      } else
        expect(await isTieAt(model, [...prompt, ...one.ids.slice(0, parted)], given.sampling), `item ${n}, token ${parted}`).toBe(true);
    }
    // The rule must not excuse everything.
    expect(same).toBeGreaterThan(these.length / 2);
  });
});

describe("many sequences on WebGPU", () => {
  const [config] = configs;

  it("draw the same in one call of many steps as in calls of few, each to the end of its own context", async () => {
    const model = await loadGpuModel(await testDevice(), config!, memoryRefs(randomModel(config!, 5).weights), { arithmetic: "f32" });
    const contexts = [45, 12, 64];
    const drawn = async (count: number): Promise<number[][]> => {
      const batch = model.createBatch(3, 64);
      for (const [slot, own] of contexts.entries()) await batch.prefill(slot, [1 + slot, 2, 3], own);
      const ids: number[][] = contexts.map(() => []);
      for (let done = 0; done < 61; done += count) {
        const open = [0, 1, 2].filter((slot) => batch.ids(slot).length < contexts[slot]!);
        const outcome = await batch.decode(
          open.map((slot) => ({ slot, sampling: greedy })),
          count,
        );
        for (const [i, slot] of open.entries()) ids[slot]!.push(...outcome[i]!.tokens.map(({ id }) => id));
      }
      expect(contexts.map((_, slot) => batch.ids(slot).slice(3))).toEqual(ids);
      batch.dispose();
      return ids;
    };
    const atOnce = await drawn(61);
    expect(atOnce.map((ids) => ids.length)).toEqual([42, 9, 61]);
    expect(await drawn(5)).toEqual(atOnce);
    model.dispose();
  });

  const withNaN = (): ReturnType<typeof memoryRefs> => {
    const { weights } = randomModel(config!, 5);
    const data = (weights.embedTokens.data as Float32Array).slice();
    data.fill(Number.NaN, 39 * config!.hiddenSize); // id 39 alone
    return memoryRefs({ ...weights, embedTokens: { ...weights.embedTokens, data } });
  };

  it("fail alone, hook alone, stop and abort alone", async () => {
    const model = await loadGpuModel(await testDevice(), config!, withNaN(), { arithmetic: "f32" });
    const broken = new Error("mine");
    const signal = { aborted: false };
    const odd = (_ids: readonly number[], logits: Float32Array): undefined => {
      for (let id = 0; id < logits.length; id += 2) logits[id] = -Infinity;
      logits[39] = -Infinity;
    };
    const items: Item[] = [
      { prompt: [1, 2], options: options() },
      { prompt: [3, 39, 2], options: options() },
      { prompt: [4], options: options({ processLogits: odd }) },
      {
        prompt: [5],
        options: options({
          processLogits(ids) {
            if (ids.length > 2) throw broken;
            return undefined;
          },
        }),
      },
      { prompt: [], options: options() },
      { prompt: [6], options: options({ topLogprobs: 3 }) },
      { prompt: [7, 8], options: options({ maxNewTokens: 60, signal }) },
      { prompt: [9], options: options({ stopIds: new Set(Array.from({ length: 40 }, (_, id) => id)) }) },
    ];
    const seen = items.map(() => 0);
    const outcomes = await generateAll(model, items, {
      sequences: 8,
      onToken(index) {
        if (++seen[index]! === 20) signal.aborted = true;
      },
    });
    const summary = outcomes.map((outcome: Outcome) =>
      outcome.ok ? `${outcome.finishReason} ${outcome.ids.length}` : ((outcome.error as { code?: string }).code ?? outcome.error),
    );
    expect([summary[0], summary[1], summary[2], summary[3], summary[4], summary[5], summary[7]]).toEqual([
      "length 9",
      "non-finite",
      "length 9",
      broken,
      "range",
      "length 9",
      "stop 0",
    ]);
    expect(summary[6]).toMatch(/^aborted 2\d$/);
    const [plain, , hooked] = outcomes as { ids: readonly number[] }[];
    expect(plain!.ids).toEqual((await alone(model, [1, 2], options())).ids);
    expect(hooked!.ids.every((id) => id % 2 === 1 && id !== 39)).toBe(true);
    expect(outcomes[5]).toEqual({ ok: true, promptTokens: 1, ...(await alone(model, [6], options({ topLogprobs: 3 }))) });
    model.dispose();
  });

  it("are computed in turn where they cannot be together, and say what does not fit", async () => {
    const small: LlamaConfig = { ...config!, headDim: 6, numAttentionHeads: 8, numKeyValueHeads: 8 };
    expect(batchRefusal(small)?.reason).toMatch(/head_dim 6/);
    const gpu = await testDevice();
    const turns = await loadGpuModel(gpu, small, memoryRefs(randomModel(small, 5).weights), { arithmetic: "f32" });
    expect(turns.sequencesAtOnce(64)).toBe(1);
    const items = [[1, 2], [3]].map((prompt) => ({ prompt, options: options() }));
    const outcomes = await generateAll(turns, items, { sequences: 2 });
    for (const [n, { prompt, options: given }] of items.entries())
      expect(outcomes[n]).toEqual({ ok: true, promptTokens: prompt.length, ...(await alone(turns, prompt, given)) });
    turns.dispose();

    const model = await loadGpuModel(gpu, config!, memoryRefs(randomModel(config!, 5).weights));
    expect(model.sequencesAtOnce(64)).toBe(64);
    expect(() => model.createBatch(2 ** 22, 64)).toThrow(
      expect.objectContaining({
        code: "limit",
        message: expect.stringMatching(/caches of 4194304 sequences .* — ask for fewer sequences at once/),
      }),
    );
    const batch = model.createBatch(2, 8);
    await batch.prefill(0, [1, 2]);
    model.dispose();
    await expect(batch.decode([{ slot: 0, sampling: greedy }], 1)).rejects.toThrow(/the batch was disposed/);
  });
});

/** The models on WebGPU against what transformers computed for them in float64. */
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import type { Model } from "../../../core/model/engine.ts";
import { argmax, greedy } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import type { VariantOptions } from "../../../gpu/programs/plan.ts";
import { divergence } from "../../compare.ts";
import { dataFile, type GenerationGolden, type LogitsGolden, largeFixtures, type ModelGolden, modelGolden } from "../fixtures/golden.ts";
import { testDevice } from "./device.ts";

const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));

async function load(folder: string, options: VariantOptions): Promise<Model> {
  const checkpoint = await openCheckpoint(directoryStore(folder));
  try {
    return await loadGpuModel(await testDevice(), checkpoint.config, checkpoint.refs, options);
  } finally {
    await checkpoint.close();
  }
}

/**
 * Logits of the golden's positions; what comes before them is only fed (many rows at a time, so that the bits are those
 * of one call).
 */
async function logitsOf(model: Model, { input_ids, first_position }: LogitsGolden): Promise<Float32Array> {
  const session = model.createSession(input_ids.length);
  try {
    if (first_position > 0) await session.prefill(input_ids.slice(0, first_position));
    return (await session.forward(input_ids.slice(first_position), { logits: "all" })).logits;
  } finally {
    session.dispose();
  }
}

/** Logits ≤ 1e-5 of the largest, and the same id on top of each position. */
async function expectLogits(model: Model, { tensor }: ModelGolden, entry: LogitsGolden): Promise<void> {
  const logits = await logitsOf(model, entry);
  const { data } = await tensor(`logits.${entry.name}`);
  expect(logits.length).toBe(entry.positions * model.config.vocabSize);
  let max = 0;
  for (let i = 0; i < logits.length; i++) {
    const error = Math.abs(logits[i]! - data[i]!);
    if (!(error <= max)) max = error;
  }
  expect(max).toBeLessThanOrEqual(1e-5 * entry.max_abs_logit);
  expect(tops(model, logits)).toEqual(entry.argmax);
}

function tops({ config: { vocabSize: V } }: Model, logits: Float32Array): number[] {
  return Array.from({ length: logits.length / V }, (_, t) => argmax(logits.subarray(t * V, (t + 1) * V)));
}

async function expectGreedy(model: Model, prompt: readonly number[], ids: readonly number[]): Promise<void> {
  const session = model.createSession(prompt.length + ids.length);
  await session.prefill(prompt);
  const { ids: sampled } = await session.decode(greedy, ids.length);
  session.dispose();
  expect(sampled).toEqual(ids);
}

/**
 * What is decoded: the answer with its `</s>`, all 64 ids where the text has none or GUREUM_LONG=1. Ids behind an answer's end go through the same
 * kernels at positions that longer answers reach, and software takes a tenth of a second for each.
 */
const answerOf = ({ ids, stop_at }: GenerationGolden): readonly number[] =>
  stop_at === null || process.env.GUREUM_LONG === "1" ? ids : ids.slice(0, stop_at + 1);

describe("gureum-tiny-awq on WebGPU in f32", () => {
  let model: Model;
  beforeAll(async () => {
    model = await load(embeddedModelPath(), { arithmetic: "f32" });
  });
  afterAll(() => model?.dispose());

  it.each(golden.logits)("gives logits within 1e-5 of the largest logit, the same ids on top ($name)", (entry) =>
    expectLogits(model, golden, entry),
  );

  it.each(golden.generate)("answers greedily with the same ids ($name, $variant)", (entry) =>
    expectGreedy(model, entry.prompt_ids, answerOf(entry)),
  );

  it("with a cache in f16 stays within a divergence of 1e-5", async () => {
    const half = await load(embeddedModelPath(), { arithmetic: "f32", cache: "f16" });
    const entry = golden.logits.find(({ name }) => name === "ko_chat")!;
    const logits = await logitsOf(half, entry);
    const { data } = await golden.tensor("logits.ko_chat");
    const V = half.config.vocabSize;
    let total = 0;
    for (let t = 0; t < entry.positions; t++) total += divergence(data.subarray(t * V, (t + 1) * V), logits.subarray(t * V, (t + 1) * V));
    expect(total / entry.positions).toBeLessThanOrEqual(1e-5);
    half.dispose();
  });

  it("computes the same logits by every variant that reads the checkpoint's layout, within 1e-5", async () => {
    const entry = golden.logits.find(({ name }) => name === "ko_raw")!;
    for (const kernels of [
      { "linear-prefill": "awq-matmul", "dense-prefill": "matmul" },
      { dense: "matmul-tiled" },
      { "linear-prefill": "awq-matmul-packed" },
    ] as Record<string, string>[]) {
      const forced = await load(embeddedModelPath(), { arithmetic: "f32", kernels });
      await expectLogits(forced, golden, entry);
      forced.dispose();
    }
  });
});

describe("gureum-tiny-awq on WebGPU in fixed16", () => {
  let model: Model;
  beforeAll(async () => {
    model = await load(embeddedModelPath(), { arithmetic: "fixed16" });
  });
  afterAll(() => model?.dispose());

  it.each(golden.generate)("answers greedily with the same ids ($name, $variant)", (entry) =>
    expectGreedy(model, entry.prompt_ids, answerOf(entry)),
  );

  it("fed one token at a time, stays within a divergence of 1e-5 with the same id on top", async () => {
    const V = model.config.vocabSize;
    let positions = 0;
    let total = 0;
    for (const { name, input_ids, argmax: best } of golden.logits.filter(({ positions, input_ids }) => positions === input_ids.length)) {
      const { data } = await golden.tensor(`logits.${name}`);
      const session = model.createSession(input_ids.length);
      for (const [t, id] of input_ids.entries()) {
        const { logits } = await session.forward([id]);
        expect(argmax(logits), `${name} ${t}`).toBe(best[t]);
        total += divergence(data.subarray(t * V, (t + 1) * V), logits);
        positions++;
      }
      session.dispose();
    }
    expect(positions).toBeGreaterThan(150);
    expect(total / positions).toBeLessThanOrEqual(1e-5);
  });
});

describe.skipIf(!largeFixtures)("gureum-tiny (float16, two shards) on WebGPU", () => {
  let model: Model;
  let dense: ModelGolden;
  beforeAll(async () => {
    dense = await modelGolden(join(largeFixtures!, "golden/model/gureum-tiny"));
    model = await load(join(largeFixtures!, "models/gureum-tiny"), {});
  });
  afterAll(() => model?.dispose());

  it("gives logits within 1e-5 of the largest logit, the same ids on top", async () => {
    for (const entry of dense.logits) await expectLogits(model, dense, entry);
  }, 300_000);

  it("answers greedily with the same ids (the prompts without a system part too where GUREUM_LONG=1)", async () => {
    for (const entry of dense.generate)
      if (entry.variant === "default_system" || process.env.GUREUM_LONG === "1")
        await expectGreedy(model, entry.prompt_ids, answerOf(entry));
  }, 600_000);
});

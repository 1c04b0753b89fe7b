/** Which kernels one row of `exact` runs, by what a workgroup of a device holds. Dawn's null device computes nothing. */
import { expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import { EXACT_LIMITS } from "../../../core/exact/forward.ts";
import { makeMemory } from "../../../gpu/device/buffer.ts";
import { openDevice } from "../../../gpu/device/device.ts";
import { loadExactWeights } from "../../../gpu/model/exact-weights.ts";
import { holds } from "../../../gpu/pipeline/kernel.ts";
import { makeRecorder } from "../../../gpu/pipeline/recorder.ts";
import { recordExactHead, recordExactLayers } from "../../../gpu/programs/exact.ts";
import { type ExactSequence, makeExactActivations } from "../../../gpu/programs/exact-buffers.ts";
import { embeddedCase, randomCases } from "../fixtures/exact-models.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { randomModel } from "../fixtures/random-model.ts";

/** A session's buffers, of which nothing is asked. */
function sequenceOf({ numHiddenLayers }: LlamaConfig): ExactSequence {
  const none = {} as GPUBuffer;
  const layers = Array.from({ length: numHiddenLayers }, () => none);
  return { step: none, ids: none, table: none, keys: layers, values: layers, exponents: layers, maxContext: 32 };
}

/** The kernels of gate, up and down_proj in the first layer. */
async function feedForward(name: string, bytes: number): Promise<string[]> {
  const { config, weights } = randomCases().find((c) => c.name === name)!;
  const memory = makeMemory(await openDevice({ backend: "null" }));
  const recorder = makeRecorder();
  recordExactLayers(recorder, {
    config,
    weights: await loadExactWeights(memory, memoryRefs(weights)),
    sequence: sequenceOf(config),
    a: makeExactActivations(memory, config, 1, 32),
    oneRow: true,
    matrices: false,
    lanes: 256,
    limits: { invocations: 256, bytes },
  });
  const labels = ["gateUp", "siluMul", "mlp"].map((step) => `layers.0.${step}`);
  return recorder.dispatches.filter(({ label }) => labels.includes(label!)).map(({ kernel }) => kernel.name);
}

it("makes the digits of down_proj's row of what gate and up left behind it, where a workgroup does not hold that row", async () => {
  const wide = "int4, a feed-forward row that no workgroup holds";
  expect(await feedForward(wide, 48 * 1024)).toEqual(["exact-awq-words", "exact-handed-digits", "exact-awq-row"]);
});

it("makes them in down_proj itself where a workgroup holds them, and of the whole row where gate and up are held by none", async () => {
  expect(await feedForward("int4, groups of 32", 16 * 1024)).toEqual(["exact-awq-words", "exact-awq-words"]);
  expect(await feedForward("int4, groups of 32", 1024)).toEqual(["exact-awq-row", "exact-digits", "exact-awq-row"]);
});

it("asks for no dispatch wider than a device runs, up to the largest vocabulary", async () => {
  const { config: plain } = randomCases()[0]!;
  const { config, weights } = randomModel({ ...plain, vocabSize: 8, hiddenSize: 8, tieWordEmbeddings: true }, 1);
  const vocabSize = EXACT_LIMITS.vocabulary;
  const lmHead = { ...weights.lmHead, dtype: "F16" as const, outFeatures: vocabSize, data: new Uint16Array(vocabSize * 8) };
  const memory = makeMemory(await openDevice({ backend: "null" }));
  const recorder = makeRecorder();
  const context = {
    config: { ...config, vocabSize },
    weights: await loadExactWeights(memory, memoryRefs({ ...weights, embedTokens: lmHead, lmHead })),
    sequence: sequenceOf(config),
    a: makeExactActivations(memory, config, 1, 32),
    oneRow: false,
    matrices: false,
    lanes: 256,
    limits: { invocations: 256, bytes: 16 * 1024 },
  };
  for (const oneRow of [true, false])
    for (const lastRow of [true, false]) recordExactHead(recorder, { ...context, oneRow }, {} as GPUBuffer, lastRow);
  for (const { kernel, workgroups } of recorder.dispatches)
    for (const T of [1, 5, 32]) for (const wide of workgroups(T, 0)) expect(wide, kernel.name).toBeLessThanOrEqual(65_535);
});

/** The kernels of q, k and v in the first layer of gureum-tiny-awq, for so many rows. */
async function heads(T: number, wants: (name: string) => boolean): Promise<string[]> {
  const { config, weights } = await embeddedCase();
  const memory = makeMemory(await openDevice({ backend: "null" }));
  const recorder = makeRecorder();
  const context = {
    config,
    weights: await loadExactWeights(memory, memoryRefs(weights)),
    sequence: sequenceOf(config),
    a: makeExactActivations(memory, config, 32, 32),
    oneRow: false,
    matrices: false,
    lanes: 256,
    limits: { invocations: 256, bytes: 16 * 1024 },
  };
  recordExactLayers(recorder, context, { wants, mark() {} });
  const labels = ["q", "k", "v", "qkv"].map((step) => `layers.0.${step}`);
  return recorder.dispatches
    .filter(({ label, rows }) => labels.includes(label!) && (!rows || holds(rows, T)))
    .map(({ kernel, label }) => `${label!.split(".").at(-1)} ${kernel.name}`);
}

it("takes q, k and v of many rows in one dispatch, unless somebody looks at one of them", async () => {
  expect(await heads(5, () => false)).toEqual(["qkv exact-awq-tile"]);
  expect(await heads(4, () => false)).toEqual(["q exact-awq", "k exact-awq", "v exact-awq"]);
  const apart = ["q exact-awq-tile", "k exact-awq-tile", "v exact-awq-tile"];
  expect(await heads(5, (tap) => tap === "layers.0.kRope")).toEqual(apart);
  expect(await heads(5, (tap) => tap === "layers.1.k")).toEqual(["qkv exact-awq-tile"]);
});

/** Which kernels one row of `exact` runs, by what a workgroup of a device holds. Dawn's null device computes nothing. */
import { expect, it } from "vitest";
import { makeMemory } from "../../../gpu/device/buffer.ts";
import { openDevice } from "../../../gpu/device/device.ts";
import { loadExactWeights } from "../../../gpu/model/exact-weights.ts";
import { makeRecorder } from "../../../gpu/pipeline/recorder.ts";
import { recordExactLayers } from "../../../gpu/programs/exact.ts";
import { type ExactSequence, makeExactActivations } from "../../../gpu/programs/exact-buffers.ts";
import { randomCases } from "../fixtures/exact-models.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";

/** The kernels of gate, up and down_proj in the first layer. */
async function feedForward(name: string, bytes: number): Promise<string[]> {
  const { config, weights } = randomCases().find((c) => c.name === name)!;
  const memory = makeMemory(await openDevice({ backend: "null" }));
  const none = {} as GPUBuffer;
  const layers = Array.from({ length: config.numHiddenLayers }, () => none);
  const sequence: ExactSequence = { step: none, ids: none, table: none, keys: layers, values: layers, exponents: layers, maxContext: 32 };
  const recorder = makeRecorder();
  recordExactLayers(recorder, {
    config,
    weights: await loadExactWeights(memory, memoryRefs(weights)),
    sequence,
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

/**
 * Logits that are not finite on WebGPU: generation ends in one line, whether it takes the likeliest token or draws one.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { generate } from "../../../core/generate/generate.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import type { DenseMatrix } from "../../../core/tensor.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { randomModel } from "../fixtures/random-model.ts";

const config = { ...synthShapes.tiny.config, quantization: null, vocabSize: 16, numHiddenLayers: 1, maxPositionEmbeddings: 64 };
const sound = randomModel(config, 3).weights;
const changed = (matrix: DenseMatrix, change: (value: number, i: number) => number): DenseMatrix => ({
  ...matrix,
  data: (matrix.data as Float32Array).map(change),
});
const D = config.hiddenSize;
const broken: Readonly<Record<string, LlamaWeights>> = {
  "a row of NaN in the embedding": {
    ...sound,
    embedTokens: changed(sound.embedTokens, (value, i) => (Math.floor(i / D) === 2 ? Number.NaN : value)),
  },
  "an infinite row in the embedding": {
    ...sound,
    embedTokens: changed(sound.embedTokens, (value, i) => (Math.floor(i / D) === 2 ? Infinity : value)),
  },
  "a head that overflows": { ...sound, lmHead: changed(sound.lmHead, (value) => Math.sign(value) * 3e38) },
};

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openDevice({ robustness: false });
});
afterAll(() => closeDevice(gpu));

describe.each(Object.entries(broken))("a model on WebGPU with %s", (_, weights) => {
  it.each([0, 0.7])("ends in one line at temperature %f", async (temperature) => {
    const model = await loadGpuModel(gpu, config, memoryRefs(weights));
    try {
      const run = generate(model.createSession(32), [1, 2, 2], {
        sampling: { ...greedy, temperature },
        maxNewTokens: 4,
        stop: [],
        stopIds: new Set(),
        topLogprobs: 0,
        decoder: { push: () => "", flush: () => "" },
      });
      await expect(run.next()).rejects.toMatchObject({
        code: "non-finite",
        message: "logits: NaN or infinity at position 2, expected finite numbers — gureum diff names the first step that is wrong",
      });
    } finally {
      model.dispose();
    }
  });
});

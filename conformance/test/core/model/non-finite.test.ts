/** Weights that are finite and still overflow: generation ends in one line, with the step that was first. */
import { describe, expect, it } from "vitest";
import { synthShapes } from "../../../../core/checkpoint/synth-shapes.ts";
import { generate } from "../../../../core/generate/generate.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import type { LlamaWeights } from "../../../../core/model/weights.ts";
import { greedy } from "../../../../core/sample/sampler.ts";
import type { DenseMatrix } from "../../../../core/tensor.ts";
import { randomModel } from "../../fixtures/random-model.ts";

const config = { ...synthShapes.tiny.config, quantization: null, vocabSize: 16, numHiddenLayers: 2, maxPositionEmbeddings: 64 };
const sound = randomModel(config, 3).weights;

/** The weights with one matrix of layer 1 so large that its products overflow f32. */
const overflowing = (name: "vProj" | "downProj"): LlamaWeights => {
  const { weight, bias } = sound.layers[1]![name];
  const huge = { ...(weight as DenseMatrix), data: (weight as DenseMatrix).data.map((x) => Math.sign(x) * 3e38) };
  return { ...sound, layers: [sound.layers[0]!, { ...sound.layers[1]!, [name]: { weight: huge, bias } }] };
};

describe("logits that are not finite", () => {
  it.each([
    ["vProj", "layers.1.v"],
    ["downProj", "layers.1.mlp"],
  ] as const)("end a session's feeding, naming the step that was first: %s", async (name, step) => {
    const session = cpuModel(config, overflowing(name)).createSession(32);
    await expect(session.prefill([1, 2, 3])).rejects.toMatchObject({
      code: "non-finite",
      message: expect.stringMatching(new RegExp(`^logits: NaN or infinity, first in ${step} at position 0, expected finite numbers — `)),
    });
    await expect(cpuModel(config, overflowing(name)).createSession(32).forward([1])).rejects.toMatchObject({ code: "non-finite" });
  });

  it("are shown to whoever traces", async () => {
    const session = cpuModel(config, overflowing("vProj")).createSession(32);
    const { trace } = await session.forward([1, 2], { trace: ["layers.1.v"] });
    expect(trace.get("layers.1.v")!.data.every(Number.isFinite)).toBe(false);
  });

  it("end generation on any backend, by the log-probability that comes with the id", async () => {
    const model = cpuModel(config, sound);
    const session = model.createSession(32);
    const broken = { ...session, decode: async () => ({ ids: [0], logprobs: [Number.NaN] }) };
    const run = generate(broken, [1, 2], {
      sampling: greedy,
      maxNewTokens: 4,
      stop: [],
      stopIds: new Set(),
      topLogprobs: 0,
      decoder: { push: () => "", flush: () => "" },
    });
    await expect(run.next()).rejects.toMatchObject({
      code: "non-finite",
      message: expect.stringMatching(/^logits: NaN or infinity at position 1/),
    });
  });
});

/**
 * Numbers that are not finite on WebGPU: generation ends in one line where logits are not, whether it takes the likeliest
 * token or draws one; and where a key or value is beyond an f16 cache, whichever kernel writes it.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { f16Bits, f16Values } from "../../../core/dtype.ts";
import { generate } from "../../../core/generate/generate.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
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

describe("a value beyond an f16 cache", () => {
  // The first layer's values depend on their token alone: row 0 of v_proj answers to token 2.
  const token = sound.embedTokens.data.subarray(2 * D, 3 * D) as Float32Array;
  const size = Math.sqrt(token.reduce((sum, x) => sum + x * x, 0) / D);
  const layer = sound.layers[0]!;
  const row = (weight: DenseMatrix): DenseMatrix => changed(weight, (value, i) => (i < D ? (1e5 * token[i]!) / (size * D) : value));
  const vProj = { ...layer.vProj, weight: row(layer.vProj.weight as DenseMatrix) };
  const flat = { ...layer, inputLayernorm: new Float32Array(D).fill(1), vProj };
  const weights = { ...sound, layers: [flat] };
  const message = (position: number): RegExp =>
    new RegExp(
      `^layers\\.0\\.v: beyond the f16 cache at position ${position}, expected magnitudes up to 65504, got (99|100)\\d{3}[.\\d]* — use an f32`,
    );

  it("is named with its position, for prompts, single tokens and all logits, until it is dropped", async () => {
    const model = await loadGpuModel(gpu, config, memoryRefs(weights), { cache: "f16" });
    const session = model.createSession(32);
    const noted = (position: number): object => ({ code: "non-finite", message: expect.stringMatching(message(position)) });
    await expect(session.forward([1, 3, 2, 4, 2])).rejects.toMatchObject(noted(2));
    await expect(session.decode(greedy, 1)).rejects.toThrow();
    session.truncate(2);
    await session.forward([3, 5]);
    await expect(session.forward([2])).rejects.toMatchObject(noted(4));
    session.truncate(4);
    await expect(session.forward([6, 2], { logits: "all" })).rejects.toMatchObject(noted(5));
    session.truncate(0);
    await session.prefill([1, 2]);
    await expect(session.decode(greedy, 4)).rejects.toMatchObject(noted(1));
    session.truncate(1);
    await session.prefill([4]);
    const other = await loadGpuModel(gpu, config, memoryRefs(weights), { cache: "f32" });
    const wide = other.createSession(32);
    await wide.prefill([1, 2]);
    expect((await wide.decode(greedy, 2)).ids).toHaveLength(2);
    for (const each of [model, other]) each.dispose();
  });

  it("ends a sampled answer right after its token, in fused kernels too", async () => {
    const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
    const read = await readWeights({ ...checkpoint.refs, layers: checkpoint.refs.layers.slice(0, 1) });
    const short = { ...checkpoint.config, numHiddenLayers: 1 };
    const only = read.layers[0]!;
    const { weight } = only.vProj;
    if (weight.kind !== "awq") throw new Error("no AWQ model");
    const scaled = (factor: number): LlamaWeights => {
      const scales = weight.scales.map((bits) => f16Bits(f16Values()[bits]! * factor));
      return { ...read, layers: [{ ...only, vProj: { ...only.vProj, weight: { ...weight, scales } } }] };
    };
    // So large that the values of a few tokens among hundreds are beyond f16.
    const ids = Array.from({ length: 160 }, (_, i) => 3 + i * 25);
    const largest = async (model: ReturnType<typeof cpuModel>, tokens: readonly number[]): Promise<number[]> => {
      const { trace } = await model.createSession(tokens.length).forward(tokens, { trace: ["layers.0.v"] });
      const { data } = trace.get("layers.0.v")!;
      const width = data.length / tokens.length;
      return tokens.map((_, t) => data.subarray(t * width, (t + 1) * width).reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    };
    const reach = (await largest(cpuModel(short, scaled(1)), ids)).toSorted((a, b) => b - a);
    const weights = scaled(65504 / reach[16]!);
    const beyond = await largest(cpuModel(short, weights), ids);
    const model = await loadGpuModel(gpu, short, memoryRefs(weights), { arithmetic: "fixed16" });
    expect(model.plan).toMatchObject({ cache: "f16" });
    const held = ids.filter((_, t) => beyond[t]! < 60000);
    const session = model.createSession(200);
    await session.prefill(held.slice(0, 3));
    const given: number[] = [];
    let message = "";
    while (message === "" && session.ids.length < 200)
      try {
        given.push(...(await session.decode({ ...greedy, temperature: 3, seed: 5n }, 11)).ids);
      } catch (error) {
        message = (error as Error).message;
      }
    // The last id is the one whose value does not fit; none before it is near.
    const sizes = await largest(cpuModel(short, weights), given);
    expect(sizes.findIndex((size) => size > 65504)).toBe(given.length - 1);
    expect(message).toMatch(new RegExp(`^layers\\.0\\.v: beyond the f16 cache at position ${2 + given.length},`));
    expect(session.ids).toHaveLength(3 + given.length);
    model.dispose();
    await checkpoint.close();
  });
});

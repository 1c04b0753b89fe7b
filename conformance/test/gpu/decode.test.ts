/** Decoding by fused kernels against the CPU, for models that have what the embedded one has not. */
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import type { Gpu } from "../../../gpu/device/device.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { divergence } from "../../compare.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { randomModel } from "../fixtures/random-model.ts";
import { testDevice } from "./device.ts";

const config: LlamaConfig = {
  architecture: "LlamaForCausalLM",
  vocabSize: 70,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 40,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: { type: "none" },
  maxPositionEmbeddings: 64,
  slidingWindow: null,
  attentionBias: false,
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: false,
  tieWordEmbeddings: false,
  quantization: { layout: "awq", groupSize: 32, symmetric: false },
  bosTokenId: 1,
  eosTokenIds: [2],
};
const ids = [3, 20, 37, 5, 64, 2];

describe("decoding by fused kernels", () => {
  it.each<[string, Partial<LlamaConfig>, "fixed16" | "f32"]>([
    ["biases everywhere, int4 in fixed16", { attentionBias: true, attentionOutputBias: true, mlpBias: true }, "fixed16"],
    ["biases of q, k and v and norms of heads, int4 in f32", { attentionBias: true, qkNorm: true }, "f32"],
    [
      "dense weights, biases and a tied embedding",
      { quantization: null, attentionBias: true, mlpBias: true, tieWordEmbeddings: true, slidingWindow: 3 },
      "f32",
    ],
  ])("gives the CPU's logits for a model with %s", async (_what, change, arithmetic) => {
    const model = randomModel({ ...config, ...change }, 7);
    const gpu = await loadGpuModel(await testDevice(), model.config, memoryRefs(model.weights), { arithmetic });
    try {
      expect(gpu.plan.taken.linear.name).toBe(arithmetic);
      const [a, b] = [gpu.createSession(ids.length), cpuModel(model.config, model.weights).createSession(ids.length)];
      for (const id of ids) {
        const [x, y] = [(await a.forward([id])).logits, (await b.forward([id])).logits];
        const largest = y.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        const error = x.reduce((most, v, i) => Math.max(most, Math.abs(v - y[i]!)), 0);
        if (arithmetic === "f32") expect(error / largest).toBeLessThanOrEqual(1e-5);
        expect(divergence(y, x)).toBeLessThanOrEqual(1e-5);
      }
    } finally {
      gpu.dispose();
    }
  });

  it("gives the first id of a prompt before they are compiled, and the ids that follow it", async () => {
    const { weights } = randomModel(config, 7);
    const { gpu, waiting, release } = await slowDevice("attention-decode");
    const models = [];
    for (const device of [gpu, await testDevice()]) models.push(await loadGpuModel(device, config, memoryRefs(weights)));
    try {
      const [slow, other] = models.map((model) => model.createSession(16));
      for (const session of [slow!, other!]) await session.prefill(ids);
      const first = await slow!.decode(greedy, 1);
      expect(waiting()).toBeGreaterThan(0);
      release();
      const next = await slow!.decode(greedy, 6);
      expect([...first.ids, ...next.ids]).toEqual((await other!.decode(greedy, 7)).ids);
    } finally {
      release();
      for (const model of models) model.dispose();
    }
  });
});

/** The tests' device, on which pipelines of one kernel are not done before they are released. */
async function slowDevice(kernel: string): Promise<{ gpu: Gpu; waiting(): number; release(): void }> {
  const gpu = await testDevice();
  let waiting = 0;
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const device = new Proxy(gpu.device, {
    get(target, key) {
      if (key === "createComputePipelineAsync")
        return async (descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> => {
          const made = target.createComputePipelineAsync(descriptor);
          if (descriptor.label !== kernel) return made;
          waiting++;
          await released;
          return made;
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { gpu: { ...gpu, device, pipelines: new Map() }, waiting: () => waiting, release: () => release() };
}

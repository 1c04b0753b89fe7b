/** Decoding by fused kernels against the CPU, for models that have what the embedded one has not. */
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
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
});

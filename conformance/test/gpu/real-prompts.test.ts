/** What feeds prompts of published models, by the plan alone: no linear of many rows may go by a kernel of few. */
import { describe, expect, it } from "vitest";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { type Capabilities, f16Matrix } from "../../../gpu/device/capabilities.ts";
import { takesHeads } from "../../../gpu/kernels/plain/attention-tile.ts";
import { holds } from "../../../gpu/pipeline/kernel.ts";
import { type Plan, planVariants } from "../../../gpu/programs/plan.ts";
import { type RealShape, realShapes } from "../fixtures/real-shapes.ts";
import { portableLimits } from "./device.ts";

/** No optional feature, and bindings as large as any desktop GPU offers. */
const portable: Capabilities = {
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  software: false,
  features: [],
  limits: { ...portableLimits, maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 32 },
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  subgroupMatrixConfigs: [],
};
const withMatrices: Capabilities = {
  ...portable,
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  limits: { ...portable.limits, maxComputeWorkgroupStorageSize: 49152 },
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  subgroupMatrixConfigs: [f16Matrix],
};

const configOf = ({ architecture, V, D, F, H, G, Hd, tied, groupSize }: RealShape, quantized: boolean): LlamaConfig => ({
  architecture,
  vocabSize: V,
  hiddenSize: D,
  intermediateSize: F,
  numHiddenLayers: 1,
  numAttentionHeads: H,
  numKeyValueHeads: G,
  headDim: Hd ?? D / H,
  rmsNormEps: 1e-6,
  ropeTheta: 1e6,
  ropeScaling: { type: "none" },
  maxPositionEmbeddings: 4096,
  slidingWindow: null,
  attentionBias: architecture === "Qwen2ForCausalLM",
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: architecture === "Qwen3ForCausalLM",
  tieWordEmbeddings: tied ?? false,
  quantization: quantized ? { layout: "awq", groupSize: groupSize ?? 128, symmetric: false } : null,
  bosTokenId: 1,
  eosTokenIds: [2],
});

/** The plan on repacked weights, as decoding by fused kernels wants them. */
const planOf = (config: LlamaConfig, device: Capabilities): Plan =>
  planVariants(device, config, syntheticRefs(config), config.quantization ? { kernels: { linear: "awq-tiles" } } : {}).plan;
const feeds = ({ programs }: Plan, rows: number): string => programs.find((program) => holds(program.rows, rows))!.name;

describe.each(Object.entries(realShapes))("%s", (_name, shape) => {
  const [int4, dense] = [true, false].map((quantized) => configOf(shape, quantized)) as [LlamaConfig, LlamaConfig];
  const { headDim } = int4;

  it("feeds prompts by tiles where a device has no optional feature", () => {
    expect(planOf(int4, portable).plain).toMatchObject({ linear: { name: "awq-tiles" }, "linear-prefill": { name: "awq-tiles" } });
    for (const config of [int4, dense])
      expect(planOf(config, portable).plain).toMatchObject({ dense: { name: "matmul-tiles" }, "dense-prefill": { name: "matmul-tiles" } });
    expect(takesHeads({ H: int4.numAttentionHeads, G: int4.numKeyValueHeads, Hd: headDim })).toBe(true);
  });

  it("feeds two rows or more by matrices where a device has them and its heads and outputs fit, else by tiles", () => {
    const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G } = int4;
    const heads = headDim % 16 === 0 && headDim <= 128;
    for (const [config, name, outputs] of [
      [int4, "f16-matrix", [D, 2 * F, (H + 2 * G) * headDim]],
      [dense, "dense-f16-matrix", [D, F, H * headDim, G * headDim]],
    ] as const) {
      const fits = heads && outputs.every((N) => N % 64 === 0);
      for (const rows of [2, 16, 64, 512])
        expect(feeds(planOf(config, withMatrices), rows)).toBe(fits ? name : rows < 8 ? "plain" : "plain-prefill");
    }
  });
});

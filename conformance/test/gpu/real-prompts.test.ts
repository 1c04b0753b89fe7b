/** What feeds prompts of published models, by the plan alone: no linear of many rows may go by a kernel of few. */
import { describe, expect, it } from "vitest";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { type Capabilities, f16Matrix } from "../../../gpu/device/capabilities.ts";
import { takesHeads } from "../../../gpu/kernels/plain/attention-tile.ts";
import { holds } from "../../../gpu/pipeline/kernel.ts";
import { type Plan, planVariants } from "../../../gpu/programs/plan.ts";
import { configOfShape, realShapes } from "../fixtures/real-shapes.ts";
import { desktop } from "./device.ts";

const withMatrices: Capabilities = {
  ...desktop,
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  // What every device with such matrices offers.
  limits: {
    ...desktop.limits,
    maxComputeWorkgroupStorageSize: 49152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
  },
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  subgroupMatrixConfigs: [f16Matrix],
};

/** The plan on repacked weights, as decoding by fused kernels wants them. */
const planOf = (config: LlamaConfig, device: Capabilities): Plan =>
  planVariants(device, config, syntheticRefs(config), config.quantization ? { kernels: { linear: "awq-tiles" } } : {}).plan;
const feeds = ({ programs }: Plan, rows: number): string => programs.find((program) => holds(program.rows, rows))!.name;

describe.each(Object.entries(realShapes))("%s", (_name, shape) => {
  const [int4, dense] = [true, false].map((quantized) => configOfShape(shape, quantized)) as [LlamaConfig, LlamaConfig];
  const { headDim } = int4;

  it("feeds prompts by tiles where a device has no optional feature", () => {
    expect(planOf(int4, desktop).plain).toMatchObject({ linear: { name: "awq-tiles" }, "linear-prefill": { name: "awq-tiles" } });
    for (const config of [int4, dense])
      expect(planOf(config, desktop).plain).toMatchObject({ dense: { name: "matmul-tiles" }, "dense-prefill": { name: "matmul-tiles" } });
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

/** What feeds published models, by the plan alone: no step of a token, and none of a prompt where the device has matrices, may take a kernel of the plain steps. */
import { describe, expect, it } from "vitest";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import type { FloatDType } from "../../../core/dtype.ts";
import type { LlamaWeightRefs } from "../../../core/model/weights.ts";
import type { Capabilities } from "../../../gpu/device/capabilities.ts";
import { holds } from "../../../gpu/pipeline/kernel.ts";
import { planVariants, type VariantOptions } from "../../../gpu/programs/plan.ts";
import { configOfShape, realShapes } from "../fixtures/real-shapes.ts";
import { desktop, withMatrices } from "./device.ts";

/** What feeds so many rows. */
function feeder(
  capabilities: Capabilities,
  rows: number,
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  options: VariantOptions = {},
): string {
  const { plan } = planVariants(capabilities, config, refs, options);
  return plan.programs.find((program) => holds(program.rows, rows))!.name;
}
const decoder = (config: LlamaConfig, refs: LlamaWeightRefs, options?: VariantOptions): string => feeder(desktop, 1, config, refs, options);

/** Heads that are no multiple of 16, which attention by matrices does not take: tiles feed their prompts (docs/limits.md). */
const oddHeads = ["h2oai/h2o-danube3-4b-base"];

const stored = (refs: LlamaWeightRefs, dtype: FloatDType): LlamaWeightRefs => ({
  ...refs,
  embedTokens: { ...refs.embedTokens, dtype },
  lmHead: { ...refs.lmHead, dtype },
});

describe.each(Object.entries(realShapes))("%s", (name, shape) => {
  const config = configOfShape(shape);
  const refs = syntheticRefs(config);

  it("decodes by fused kernels in fixed16 and in f32, whatever the dtype of embedding and head", () => {
    for (const dtype of ["F16", "BF16", "F32"] as const) {
      expect(decoder(config, stored(refs, dtype))).toBe("fixed16");
      expect(decoder(config, stored(refs, dtype), { arithmetic: "f32" })).toBe("f32");
    }
  });

  it("decodes by fused kernels with groups of 32 and of a whole column, and unquantized", () => {
    for (const groupSize of [32, "whole"] as const) {
      const other = configOfShape({ ...shape, groupSize });
      expect(decoder(other, syntheticRefs(other))).toBe("fixed16");
    }
    const dense = { ...config, quantization: null };
    expect(decoder(dense, syntheticRefs(dense))).toBe("f32");
  });

  it("feeds prompts by matrices where the device has them, int4 with any groups, and unquantized", () => {
    const fed = (config: LlamaConfig): string[] =>
      [2, 16, 33, 512].map((rows) => feeder(withMatrices, rows, config, syntheticRefs(config)));
    const by = (program: string): string[] =>
      oddHeads.includes(name) ? ["plain", ...Array<string>(3).fill("plain-prefill")] : Array<string>(4).fill(program);
    for (const groupSize of [32, 64, "whole"] as const) expect(fed(configOfShape({ ...shape, groupSize }))).toEqual(by("f16-matrix"));
    expect(fed({ ...config, quantization: null })).toEqual(by("dense-f16-matrix"));
  });
});

it("computes the plain steps of OpenLLaMA-3B, whose heads of 100 no fused kernel takes, by tiles whatever the number of rows", () => {
  const config = configOfShape({ architecture: "LlamaForCausalLM", V: 32000, D: 3200, F: 8640, H: 32, G: 32, groupSize: 64 });
  const { taken } = planVariants(desktop, config, syntheticRefs(config)).plan;
  expect([taken.linear.name, taken["linear-prefill"].name]).toEqual(["awq-tiles", "awq-tiles"]);
});

/** What decodes published models, by the plan alone: no step of a token may take a kernel of the plain steps. */
import { describe, expect, it } from "vitest";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import type { FloatDType } from "../../../core/dtype.ts";
import type { LlamaWeightRefs } from "../../../core/model/weights.ts";
import { holds } from "../../../gpu/pipeline/kernel.ts";
import { planVariants, type VariantOptions } from "../../../gpu/programs/plan.ts";
import { configOfShape, realShapes } from "../fixtures/real-shapes.ts";
import { desktop } from "./device.ts";

/** What feeds one row. */
function decoder(config: LlamaConfig, refs: LlamaWeightRefs, options: VariantOptions = {}): string {
  const { plan } = planVariants(desktop, config, refs, options);
  return plan.programs.find(({ rows }) => holds(rows, 1))!.name;
}

const stored = (refs: LlamaWeightRefs, dtype: FloatDType): LlamaWeightRefs => ({
  ...refs,
  embedTokens: { ...refs.embedTokens, dtype },
  lmHead: { ...refs.lmHead, dtype },
});

describe.each(Object.entries(realShapes))("%s", (_name, shape) => {
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
});

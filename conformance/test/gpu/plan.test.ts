/** Which kernels run: from a device's report, a model's headers and what is asked for; no device is needed. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint } from "../../../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { plainParts } from "../../../core/model/layer.ts";
import type { Capabilities } from "../../../gpu/device/capabilities.ts";
import { planVariants, stepKernel, type VariantOptions, variants } from "../../../gpu/programs/plan.ts";
import { partRefusal } from "../../../gpu/programs/program.ts";
import { type VariantStep, variantSteps } from "../../../gpu/programs/steps.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { randomModel } from "../fixtures/random-model.ts";
import { portableLimits } from "./device.ts";

/** No optional feature. */
const portable: Capabilities = {
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  software: false,
  features: [],
  limits: portableLimits,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  subgroupMatrixConfigs: [],
};

let tiny: Checkpoint;
beforeAll(async () => {
  tiny = await openCheckpoint(directoryStore(embeddedModelPath()));
  await tiny.close();
});

const planOf = (options?: VariantOptions, capabilities = portable, { config, refs }: Pick<Checkpoint, "config" | "refs"> = tiny) =>
  planVariants(capabilities, config, refs, options);
const names = (options?: VariantOptions): Record<string, string> =>
  Object.fromEntries(Object.entries(planOf(options).plan.taken).map(([step, { name }]) => [step, name]));

describe("the choice of variants", () => {
  it("takes fixed16 on repacked weights and an f16 cache where nothing is asked for", () => {
    expect(names()).toEqual({
      linear: "fixed16",
      "linear-prefill": "awq-tiles",
      dense: "matmul-tiles",
      "dense-prefill": "matmul-tiles",
    });
    expect(planOf().plan).toMatchObject({ layout: "repacked", cache: "f16" });
  });

  it("takes kernels of its own for one row in f32, over either cache", () => {
    expect(names({ arithmetic: "f32" })).toMatchObject({ linear: "f32", "linear-prefill": "awq-tiles" });
    expect(planOf({ arithmetic: "f32" }).plan).toMatchObject({ layout: "repacked", cache: "f32" });
    expect(planOf({ arithmetic: "f32", cache: "f16" }).plan).toMatchObject({ layout: "repacked", cache: "f16" });
  });

  it("leaves fixed16 where it cannot read the cache that was asked for", () => {
    expect(names({ cache: "f32" })).toMatchObject({ linear: "f32" });
    expect(() => planOf({ cache: "f32", arithmetic: "fixed16" })).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  it("takes what is forced, and fits the rest to it", () => {
    // No device without optional features has matrices.
    for (const { step, name, arithmetic } of variants)
      if (step === "linear" || arithmetic === "f32") expect(names({ kernels: { [step]: name } })[step]).toBe(name);
    expect(names({ kernels: { "linear-prefill": "awq-matmul-tiled" } }).linear).toBe("awq-matmul");
    expect(names({ arithmetic: "f32", kernels: { "linear-prefill": "awq-matmul-packed" } }).linear).toBe("f32");
  });

  it("says of every variant whether it runs and why", () => {
    for (const options of [{}, { arithmetic: "f32" }, { kernels: { "linear-prefill": "awq-matmul" } }] as VariantOptions[]) {
      const { choices } = planOf(options);
      expect(choices.map(({ step, variant }) => [step, variant])).toEqual(variants.map(({ step, name }) => [step, name]));
      for (const step of Object.keys(variantSteps)) expect(choices.filter((c) => c.step === step && c.taken)).toHaveLength(1);
      for (const { reason } of choices) expect(reason).not.toBe("");
    }
    const reasonOf = (options: VariantOptions, step: VariantStep, name: string): string =>
      planOf(options).choices.find((c) => c.step === step && c.variant === name)!.reason;
    expect(reasonOf({ arithmetic: "f32" }, "linear", "fixed16")).toBe("arithmetic f32 is asked for");
    expect(reasonOf({ cache: "f32" }, "linear", "fixed16")).toMatch(/needs an f16 cache/);
    expect(reasonOf({}, "linear-prefill", "awq-matmul-tiled")).toBe("the weights are repacked");
  });

  it("names a step or variant that does not exist", () => {
    expect(() => planOf({ kernels: { nonsense: "matmul" } })).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(/no such step, expected linear, .*"nonsense"/) }),
    );
    expect(() => planOf({ kernels: { toString: "matmul" } })).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => planOf({ kernels: { dense: "fixed16" } })).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringMatching(/dense: no such variant, expected matmul-tiles, matmul, matmul-tiled/),
      }),
    );
  });

  it("names variants that want weights in different layouts", () => {
    expect(() => planOf({ kernels: { linear: "fixed16", "linear-prefill": "awq-matmul" } })).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringMatching(/different layouts, got linear=fixed16, linear-prefill=awq-matmul/),
      }),
    );
  });

  it("names the limit of a device that a repacked matrix exceeds", () => {
    const small = { ...portable, limits: { ...portableLimits, maxStorageBufferBindingSize: 40_000 } };
    expect(planOf({}, small).plan.layout).toBe("checkpoint");
    expect(() => planOf({ arithmetic: "fixed16" }, small)).toThrow(
      expect.objectContaining({ code: "limit", message: expect.stringMatching(/repacked matrix has \d+ bytes, a binding at most 40000/) }),
    );
  });

  it.each<[string, Partial<Checkpoint["config"]>, RegExp, string]>([
    ["heads of 20", { headDim: 20 }, /head_dim 20/, "awq-matmul"],
    ["eight heads of 20", { headDim: 20, numAttentionHeads: 8, numKeyValueHeads: 8 }, /head_dim 20/, "awq-tiles"],
    ["groups of 16", { quantization: { layout: "awq", groupSize: 16, symmetric: false } }, /multiples of 32/, "awq-matmul"],
  ])(
    "falls back to plain steps for a model with %s, by tiles where its inputs are whole blocks of 32, and says why",
    (_what, change, reason, linear) => {
      const model = modelOf(change);
      const { plan, choices } = planOf({}, portable, model);
      expect(plan.taken.linear.name).toBe(linear);
      expect(choices[0]!.reason).toMatch(reason);
      expect(() => planOf({ arithmetic: "fixed16" }, portable, model)).toThrow(expect.objectContaining({ code: "unsupported" }));
    },
  );

  it.each<[string, Partial<Checkpoint["config"]>]>([
    ["biases", { attentionBias: true, attentionOutputBias: true, mlpBias: true }],
    ["norms of heads", { qkNorm: true }],
    ["heads of 16", { headDim: 16 }],
    ["odd widths", { hiddenSize: 72, intermediateSize: 40, numKeyValueHeads: 2, headDim: 40 }],
    ["tied embeddings", { tieWordEmbeddings: true }],
  ])("takes the fused kernels for a model with %s, whatever the dtype of its embedding", (_what, change) => {
    const model = modelOf(change);
    expect(planOf({}, portable, model).plan.taken.linear.name).toBe("fixed16");
    for (const dtype of ["F16", "BF16"] as const) {
      const refs = { ...model.refs, embedTokens: { ...model.refs.embedTokens, dtype } };
      expect(planOf({}, portable, { ...model, refs }).plan.taken.linear.name).toBe("fixed16");
    }
    expect(planOf({}, portable, modelOf({ ...change, quantization: null })).plan.taken.linear.name).toBe("f32");
  });

  it("takes dense linears beside int4 ones, and no other mixture of one input", () => {
    const [awq, dense] = [modelOf({}), modelOf({ quantization: null })];
    const mixed = (...names: readonly ("oProj" | "downProj" | "kProj")[]): Model => {
      const other = Object.fromEntries(names.map((name) => [name, dense.refs.layers[0]![name]]));
      return { ...awq, refs: { ...awq.refs, layers: [{ ...awq.refs.layers[0]!, ...other }] } };
    };
    for (const model of [mixed("oProj"), mixed("downProj"), mixed("oProj", "downProj")])
      expect(planOf({}, portable, model).plan.taken.linear.name).toBe("fixed16");
    const { plan, choices } = planOf({}, portable, mixed("kProj"));
    expect(plan.taken.linear.name).toBe("awq-matmul");
    expect(choices[0]!.reason).toMatch(/differ in kind/);
  });

  type Model = Pick<Checkpoint, "config" | "refs">;
  const modelOf = (change: Partial<Checkpoint["config"]>): Model => {
    const config = { ...tiny.config, hiddenSize: 64, intermediateSize: 64, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 32 };
    const changed = {
      ...config,
      numHiddenLayers: 1,
      vocabSize: 16,
      quantization: { layout: "awq" as const, groupSize: 32, symmetric: false },
      ...change,
    };
    // One group in a column, where the case does not say otherwise.
    const groupSize = change.quantization ? change.quantization.groupSize : ("whole" as const);
    const { weights } = randomModel({ ...changed, quantization: changed.quantization && { ...changed.quantization, groupSize } }, 1);
    return { config: changed, refs: memoryRefs(weights) };
  };

  const model = (groupSize: number | "whole", headDim = 128, more: Partial<LlamaConfig> = {}) => {
    const changed = {
      ...tiny.config,
      hiddenSize: 128,
      intermediateSize: 128,
      numAttentionHeads: 2,
      numKeyValueHeads: 1,
      headDim,
      numHiddenLayers: 1,
      vocabSize: 16,
      quantization: { layout: "awq" as const, groupSize, symmetric: false },
      ...more,
    };
    const refs = memoryRefs(randomModel(changed, 1).weights);
    const half = (ref: typeof refs.embedTokens) => ({ ...ref, dtype: "F16" as const });
    return { config: changed, refs: { ...refs, embedTokens: half(refs.embedTokens), lmHead: half(refs.lmHead) } };
  };
  const able: Capabilities = {
    ...portable,
    features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
    limits: {
      ...portableLimits,
      maxComputeWorkgroupStorageSize: 49152,
      maxComputeInvocationsPerWorkgroup: 512,
      maxComputeWorkgroupSizeX: 512,
    },
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    subgroupMatrixConfigs: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
  };

  it("takes the matrices for prompts where device and shapes have them, and says what is missing elsewhere", () => {
    const both: Capabilities = {
      ...able,
      subgroupMatrixConfigs: [...able.subgroupMatrixConfigs, { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 }],
    };
    const exact: VariantOptions = { kernels: { "linear-prefill": "fixed16-matrix" } };
    expect(planOf({}, both, model(128)).plan.taken["linear-prefill"].name).toBe("f16-matrix");
    expect(planOf(exact, both, model(128)).plan).toMatchObject({
      layout: "repacked",
      cache: "f16",
      taken: { linear: { name: "fixed16" }, "linear-prefill": { name: "fixed16-matrix", arithmetic: "fixed16" } },
    });
    for (const [capabilities, shape, code, reason] of [
      [able, model(128), "missing-feature", /needs i8 matrices of 16 x 16 x 32 with i32 sums/],
      [both, model(64), "unsupported", /inputs in multiples of 128, groups of 128/],
    ] as const)
      expect(() => planOf(exact, capabilities, shape)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(reason) }));
    const forced: VariantOptions = { kernels: { "linear-prefill": "f16-matrix" } };
    expect(planOf({}, able, model(128)).plan).toMatchObject({
      layout: "repacked",
      cache: "f16",
      taken: { linear: { name: "fixed16" }, "linear-prefill": { name: "f16-matrix" } },
    });
    expect(planOf({ arithmetic: "f32" }, able, model(128)).plan.taken["linear-prefill"].name).toBe("awq-tiles");
    for (const [capabilities, code, reason] of [
      [portable, "missing-feature", /needs feature shader-f16/],
      [{ ...able, limits: portableLimits }, "limit", /needs maxComputeWorkgroupStorageSize/],
      [{ ...able, subgroupMatrixConfigs: [] }, "missing-feature", /needs f16 matrices/],
      [{ ...able, subgroupMaxSize: 64 }, "missing-feature", /needs feature subgroups of 32/],
    ] as const)
      expect(() => planOf(forced, capabilities, model(128))).toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(reason) }),
      );
    expect(planOf({}, able, model(32)).plan.taken["linear-prefill"].name).toBe("f16-matrix");
    for (const [shape, reason] of [
      [model(16), /inputs in multiples of 64, groups of 32/],
      [model(128, 256), /heads of 32 to 128 in steps of 16/],
    ] as const) {
      expect(planOf({}, able, shape).plan.taken["linear-prefill"].name).toMatch(/^awq-(tiles|matmul-tiled)$/);
      expect(() => planOf(forced, able, shape)).toThrow(
        expect.objectContaining({ code: "unsupported", message: expect.stringMatching(reason) }),
      );
    }
  });

  it("takes them for sequences together, with biases and norms of heads too, however small workgroups are", () => {
    const small: Capabilities = { ...able, limits: { ...able.limits, maxComputeInvocationsPerWorkgroup: 256 } };
    for (const capabilities of [able, small])
      for (const more of [{}, { attentionBias: true }, { qkNorm: true }])
        expect(planOf({}, capabilities, model(128, 128, more)).plan.batch.name).toBe("f16-matrix");
  });

  it("takes no program for a layer with a part that the program, or the config, does not list", () => {
    const [layer, ...rest] = tiny.refs.layers;
    const strange = { ...layer!, qNorm: layer!.inputLayernorm };
    const refs = { ...tiny.refs, layers: [...rest, strange] };
    const { plan } = planOf({}, portable, { config: tiny.config, refs });
    expect(Object.values(plan.taken).some((variant) => "prepare" in variant)).toBe(false);
    for (const program of new Set(variants.filter((variant) => "prepare" in variant)))
      if (program.parts.includes("qNorm"))
        expect(program.step === "linear-prefill" || /norms of heads/.test(program.refusal(tiny.config, refs, portable)?.reason ?? "")).toBe(
          true,
        );
      else expect(program.refusal(tiny.config, refs, portable)?.reason).toMatch(/qNorm/);
    expect(partRefusal(plainParts, refs)?.reason).toMatch(/qNorm/);
    // A part that the config leaves out is no part.
    const absent = { ...tiny.refs, layers: [...rest, { ...layer!, qNorm: null }] };
    expect(planOf({}, portable, { config: tiny.config, refs: absent }).plan).toEqual(planOf().plan);
  });

  it("says which kernel a watched step runs", () => {
    const { plan } = planOf();
    expect(stepKernel(plan, "awq-matmul", 1)).toBe("awq-tiles");
    const f32 = planOf({ kernels: { linear: "awq-matmul" } }).plan;
    expect([1, 8].map((rows) => stepKernel(f32, "awq-matmul", rows))).toEqual(["awq-matmul", "awq-matmul-tiled"]);
    expect([1, 8].map((rows) => stepKernel(f32, "matmul", rows))).toEqual(["matmul-tiles", "matmul-tiles"]);
    expect(stepKernel(f32, "rope", 1)).toBe("rope");
  });
});

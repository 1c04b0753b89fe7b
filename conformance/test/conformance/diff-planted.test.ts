/** `diff` with bad kernels planted: the kernel that is bad is named, and nothing that is sound is blamed. */
import { beforeAll, describe, expect, it } from "vitest";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { readWeights } from "../../../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { allKernels } from "../../host/kernels.ts";
import { editsOf } from "../../mutation/edits.ts";
import { type Diff, diffModels, isAstray } from "../../watch/diff.ts";
import { testDevice } from "../gpu/device.ts";

const ids = [1, 20, 25, 5, 77, 30, 12, 9, 45, 33];
/** Small, and of a shape that the fused kernels take. */
const config: LlamaConfig = {
  ...synthShapes.tiny.config,
  vocabSize: 96,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 32,
  quantization: { layout: "awq", groupSize: 32, symmetric: false },
};
const refs = syntheticRefs(config);
let weights: LlamaWeights;
beforeAll(async () => {
  weights = await readWeights(refs);
});

/** The CPU against WebGPU, a kernel of which adds where it should subtract, or the other way round. */
async function diffWithFault(name: string | null): Promise<Diff> {
  const kernel = name === null ? undefined : ((await allKernels()).get(name)! as { wgsl: string });
  const sound = kernel?.wgsl;
  if (kernel) kernel.wgsl = editsOf(kernel as never).find(({ operator }) => operator === "accumulates with the wrong sign")!.wgsl;
  try {
    const kernels = { "linear-prefill": "awq-matmul-packed" };
    const model = await loadGpuModel(await testDevice(), config, refs, { arithmetic: "fixed16", kernels });
    const diff = await diffModels({ model: cpuModel(config, weights) }, { model, plan: model.plan }, weights, ids);
    model.dispose();
    return diff;
  } finally {
    if (kernel) kernel.wgsl = sound!;
  }
}

describe("diff", () => {
  it("finds nothing wrong without a fault", async () => {
    const { first, unwatched } = await diffWithFault(null);
    expect(first).toBeNull();
    expect(unwatched.map(({ side, way }) => [side, way])).toEqual([
      ["b", "as a prompt"],
      ["b", "token by token"],
    ]);
    expect(unwatched.filter(isAstray)).toEqual([]);
  });

  it("names a bad kernel of prompts, and leaves the sound decode program alone", async () => {
    const { first, unwatched } = await diffWithFault("awq-matmul-packed");
    expect(first).toMatchObject({ side: "b", step: { name: "layers.0.q", kernels: { b: "awq-matmul-packed" } } });
    expect(unwatched.filter(isAstray).map(({ way }) => way)).toEqual(["as a prompt"]);
  });

  it("names the decode program where one of its kernels is bad, and no step", async () => {
    const { first, unwatched } = await diffWithFault("awq-gate-up-fixed16");
    expect(first).toBeNull();
    expect(unwatched.filter(isAstray).map(({ way, variant }) => [way, variant])).toEqual([["token by token", "fixed16"]]);
  });
});

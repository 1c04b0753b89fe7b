/** `diff` with bad kernels planted: the kernel that is bad is named, and nothing that is sound is blamed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { allKernels } from "../../host/kernels.ts";
import { mutantsOf } from "../../mutation/mutants.ts";
import { type Diff, diffModels, isAstray } from "../../watch/diff.ts";
import { testDevice } from "../gpu/device.ts";

const ids = [1, 2038, 2544, 5, 77, 301, 12, 9, 450, 33];
let checkpoint: Checkpoint;
let weights: LlamaWeights;
beforeAll(async () => {
  checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
  const whole = await readWeights(checkpoint.refs);
  weights = { ...whole, layers: whole.layers.slice(0, 2) };
});
afterAll(() => checkpoint.close());

/** The CPU against WebGPU, a kernel of which adds where it should subtract, or the other way round. */
async function diffWithFault(name: string | null): Promise<Diff> {
  const config = { ...checkpoint.config, numHiddenLayers: 2 };
  const refs = { ...checkpoint.refs, layers: checkpoint.refs.layers.slice(0, 2) };
  const kernel = name === null ? undefined : ((await allKernels()).get(name)! as { wgsl: string });
  const sound = kernel?.wgsl;
  if (kernel) kernel.wgsl = mutantsOf(kernel as never).find(({ operator }) => operator === "accumulates with the wrong sign")!.wgsl;
  try {
    const model = await loadGpuModel(await testDevice(), config, refs, { arithmetic: "fixed16" });
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

  it.each(["awq-gate-up-fixed16", "awq-add-fixed16"])("names the decode program where its %s is bad, and no step", async (name) => {
    const { first, unwatched } = await diffWithFault(name);
    expect(first).toBeNull();
    expect(unwatched.filter(isAstray).map(({ way, variant }) => [way, variant])).toEqual([["token by token", "fixed16"]]);
  });
});

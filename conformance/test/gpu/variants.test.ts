/** A new variant costs its kernel and one entry: what is asked for by its name is what runs. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Checkpoint, openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { planVariants } from "../../../gpu/programs/plan.ts";
import { testDevice } from "./device.ts";

vi.mock(import("../../../gpu/programs/steps.ts"), async (original) => {
  const steps = await original();
  const { matmulTiled } = await import("../../../gpu/kernels/plain/matmul-tiled.ts");
  // A copy of matmul-tiled, told apart by the sign of what it computes.
  const wgsl = matmulTiled.wgsl.replace("out[t * params.columns + column] = y;", "out[t * params.columns + column] = -y;");
  const wide = { ...matmulTiled, name: "matmul-wide", wgsl };
  const entry = { step: "dense" as const, arithmetic: "f32" as const, ...steps.dense(wide) };
  return { ...steps, stepVariants: [...steps.stepVariants, entry] };
});

let tiny: Checkpoint;
beforeAll(async () => {
  tiny = await openCheckpoint(directoryStore(embeddedModelPath()));
});
afterAll(() => tiny?.close());

describe("a copy of matmul-tiled under a new name, with its entry in the table,", () => {
  it("is listed, and runs where it is asked for", async () => {
    const gpu = await testDevice();
    const options = { arithmetic: "f32", kernels: { dense: "matmul-wide" } } as const;
    const { choices } = planVariants(gpu.capabilities, tiny.config, tiny.refs, options);
    expect(choices.find(({ variant }) => variant === "matmul-wide")).toMatchObject({ step: "dense", taken: true, reason: "asked for" });
    const logits = async (dense: string): Promise<Float32Array> => {
      const model = await loadGpuModel(gpu, tiny.config, tiny.refs, { ...options, kernels: { dense } });
      try {
        return (await model.createSession(8).forward([1, 5, 9])).logits;
      } finally {
        model.dispose();
      }
    };
    const tiled = await logits("matmul-tiled");
    expect(tiled.some((y) => y !== 0)).toBe(true);
    expect(await logits("matmul-wide")).toEqual(tiled.map((y) => -y));
  });
});

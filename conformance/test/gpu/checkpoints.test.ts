/** What `gureum diff` says of the checkpoints that real tools made (fixtures/data/checkpoints). About a second each. */
import { readdirSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Gpu } from "../../../gpu/device/device.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { diffModels, isAstray } from "../../watch/diff.ts";
import { dataFile } from "../fixtures/golden.ts";
import { testDevice } from "./device.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testDevice();
});
const names = readdirSync(dataFile("checkpoints")).filter((name) => !name.includes("."));

describe("the CPU and WebGPU on a checkpoint", () => {
  it.each(names)("compute every step within its bound, watched and unwatched: %s", async (name) => {
    const { config, refs, ...checkpoint } = await openCheckpoint(directoryStore(dataFile(`checkpoints/${name}`)));
    const weights = await readWeights(refs);
    const model = await loadGpuModel(gpu, config, refs, {});
    const reference = { model: cpuModel(config, weights) };
    const ids = Array.from({ length: 12 }, (_, i) => (i * 17 + 5) % config.vocabSize);
    const { steps, unwatched, first } = await diffModels(reference, { model, plan: model.plan }, weights, ids);
    expect(first).toBeNull();
    expect(steps.length).toBeGreaterThan(15);
    expect(unwatched.length).toBeGreaterThan(0);
    expect(unwatched.filter(isAstray)).toEqual([]);
    model.dispose();
    await checkpoint.close();
  });
});

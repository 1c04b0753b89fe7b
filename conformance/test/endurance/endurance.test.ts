/**
 * A few rounds of what runs by the hundred elsewhere (docs/log/2026-11-26-endurance.md): loading and disposing, commands ended by force, devices lost. About
 * 40 s of the processor, half of it software Vulkan's compiler.
 */
import { describe, expect, it } from "vitest";
import { killCommands } from "./kills.ts";
import { loadAndDispose } from "./loads.ts";
import { loseDevices } from "./losses.ts";

describe("a model loaded and disposed of", () => {
  it("answers in each round on the CPU", async () => {
    const { rssMiB } = await loadAndDispose(3, "cpu");
    expect(rssMiB).toHaveLength(3);
  });

  it("leaves no buffer on WebGPU, whatever was done with it", async () => {
    const { made, left } = await loadAndDispose(2, "webgpu");
    expect(made).toBeGreaterThan(100);
    expect(left).toEqual([0, 0]);
  });
});

describe("a command ended by force", () => {
  it.each(["synth", "jsonl", "history", "download"])("leaves nothing half-written, and ends well when given again: %s", async (name) => {
    const { kills } = await killCommands(1, 7, name);
    expect(kills).toBe(1);
  });
});

describe("a device lost", () => {
  it.each(["load", "batch"])("is named, and another computes the same: during %s", async (name) => {
    const { losses } = await loseDevices(1, 7, name);
    expect(losses).toBe(1);
  });
});

/** How the linears of one row are cut into workgroups, by shapes of models (docs/log/2026-11-26-decode-dead-time.md). */
import { describe, expect, it } from "vitest";
import { attentionSubgroups, batchAttentionF16 } from "../../../gpu/kernels/batch/batch-attention-f16.ts";
import { awqAddFixed16 } from "../../../gpu/kernels/decode/awq-add-fixed16.ts";
import { awqGateUpFixed16 } from "../../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { denseGateUp } from "../../../gpu/kernels/decode/dense-gate-up.ts";
import { workgroupBytes } from "../../../gpu/pipeline/kernel.ts";
import { blocksOf } from "../../../gpu/wgsl/fixed16.ts";
import type { WorkgroupLimits } from "../../../gpu/wgsl/teams.ts";

const card: WorkgroupLimits = { invocations: 1024, bytes: 49_152 };
const portable: WorkgroupLimits = { invocations: 256, bytes: 16_384 };

/** Hidden and intermediate sizes, and the values of h a workgroup that were fastest on one NVIDIA H200, where it was measured. */
const models: readonly { readonly name: string; readonly D: number; readonly F: number; readonly fastest?: number }[] = [
  { name: "SOLAR-10.7B, Llama-3-8B", D: 4096, F: 14_336, fastest: 28 },
  { name: "Qwen2.5-7B", D: 3584, F: 18_944, fastest: 8 },
  { name: "Qwen3-8B", D: 4096, F: 12_288, fastest: 24 },
  { name: "Llama-2-7B", D: 4096, F: 11_008, fastest: 8 },
  { name: "TinyLlama-1.1B", D: 2048, F: 5632, fastest: 8 },
  { name: "Llama-2-13B", D: 5120, F: 13_824 },
  { name: "Llama-2-70B", D: 8192, F: 28_672 },
  { name: "SmolLM2-135M", D: 576, F: 1536 },
];

const gateUp = (D: number, F: number, limits: WorkgroupLimits) =>
  awqGateUpFixed16.tune({ K: D, group: 32, hasBias: false, F, eps: 1e-5 }, limits);
const down = (D: number, F: number, limits: WorkgroupLimits) => awqAddFixed16.tune({ K: F, group: 32, hasBias: false, N: D }, limits);

describe("workgroups of the linears of one row", () => {
  it.each(models)("$name: each value of h belongs to one workgroup, which fits the device", ({ D, F }) => {
    for (const limits of [card, portable]) {
      const dense = denseGateUp.tune({ K: D, dtype: "F16", hasBias: false, F, eps: 1e-5 }, limits);
      for (const { per, team } of [gateUp(D, F, limits), dense]) {
        expect(per % 4).toBe(0);
        expect(F % per).toBe(0);
        expect(per / 4).toBeLessThanOrEqual(team);
      }
      expect(workgroupBytes(awqGateUpFixed16, gateUp(D, F, limits))).toBeLessThanOrEqual(limits.bytes);
      expect(workgroupBytes(denseGateUp, dense)).toBeLessThanOrEqual(limits.bytes);
      const { team, teams, ...shape } = down(D, F, limits);
      expect(team * teams).toBeLessThanOrEqual(limits.invocations);
      expect(8 % teams).toBe(0);
      expect(workgroupBytes(awqAddFixed16, { ...shape, team, teams })).toBeLessThanOrEqual(limits.bytes);
    }
  });

  it.each(models.filter(({ fastest }) => fastest))("$name: gate and up are cut as was fastest", ({ D, F, fastest }) => {
    expect(gateUp(D, F, card).per).toBe(fastest);
  });

  it.each(models.filter(({ F }) => blocksOf(F) <= 640))(
    "$name: down_proj takes K in one turn, so that x is made ready once",
    ({ D, F }) => {
      expect(down(D, F, card).team).toBeGreaterThanOrEqual(blocksOf(F));
    },
  );
});

describe("workgroups of a batch's attention", () => {
  const shape = { H: 32, G: 8, window: null, slots: 1, capacity: 1, splits: 1, eights: true };
  const of32KiB: WorkgroupLimits = { invocations: 1024, bytes: 32_768 };

  it.each([card, of32KiB, portable])("fit a device of $invocations invocations and $bytes bytes, whatever the head", (limits) => {
    for (let Hd = 8; Hd <= 256; Hd += 8)
      for (const few of [true, false]) {
        const subgroups = attentionSubgroups(Hd, few, limits);
        expect(subgroups).toBeGreaterThanOrEqual(1);
        expect(32 * subgroups).toBeLessThanOrEqual(limits.invocations);
        expect(workgroupBytes(batchAttentionF16, { ...shape, Hd, subgroups })).toBeLessThanOrEqual(limits.bytes);
      }
  });

  it("have as many subgroups as were fastest where a device holds them, and for heads to 128 with 32 KiB too", () => {
    for (const limits of [card, of32KiB]) expect([true, false].map((few) => attentionSubgroups(128, few, limits))).toEqual([12, 8]);
    expect([card, of32KiB, portable].map((limits) => attentionSubgroups(256, true, limits))).toEqual([8, 7, 3]);
  });
});

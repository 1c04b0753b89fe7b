/** Which kernel attends to how many keys when one row is decoded. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Capabilities } from "../../../gpu/device/capabilities.ts";
import { holds, type Kernel } from "../../../gpu/pipeline/kernel.ts";
import { type BufferArg, makeRecorder } from "../../../gpu/pipeline/recorder.ts";
import { attentionWays } from "../../../gpu/programs/decode-attention.ts";
import { planeBytes } from "../../../gpu/wgsl/fixed16.ts";
import { portableLimits } from "./device.ts";

const capabilities = fc.record({ wide: fc.boolean(), subgroup: fc.constantFrom(0, 4, 8, 16, 32, 64) }).map(({ wide, subgroup }) => {
  const roomy = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupSizeX: 1024, maxComputeWorkgroupStorageSize: 49_152 };
  return {
    limits: { ...portableLimits, ...(wide ? roomy : {}) },
    features: subgroup > 0 ? ["subgroups"] : [],
    subgroupMinSize: subgroup,
  } as unknown as Capabilities;
});
const attention = fc.record({
  G: fc.integer({ min: 1, max: 16 }),
  perGroup: fc.integer({ min: 1, max: 8 }),
  Hd: fc.constantFrom(8, 32, 40, 64, 96, 128, 256),
  window: fc.constantFrom(null, 100, 4096),
  cache: fc.constantFrom("f16" as const, "f32" as const),
});

describe("attention of one row", () => {
  it("is one kernel's at each position, joined where it is split, with room for all splits", () => {
    fc.assert(
      fc.property(
        capabilities,
        attention,
        fc.integer({ min: 1, max: 32_768 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (device, given, context, at) => {
          const { G, perGroup, Hd } = given;
          const H = G * perGroup;
          const position = Math.min(context - 1, Math.floor(at * context));
          const { ways, splits } = attentionWays({ ...given, H }, context, device);
          const run = ways.filter(({ positions }) => holds(positions, position));
          expect(run.map(({ does }) => does)).toSatisfy((does: string[]) => does.join() === "alone" || does.join() === "splits,joins");
          const recorder = makeRecorder();
          const buffer = {} as GPUBuffer as BufferArg;
          const buffers = { q: buffer, k_cache: buffer, v_cache: buffer, partial_: buffer, stats: buffer, joined: buffer, step: buffer };
          for (const { record } of run) record(recorder, buffers, {});
          for (const { kernel, shape, workgroups, positions } of recorder.dispatches) {
            expect(holds(positions!, position)).toBe(true);
            const sizes = (kernel as Kernel & { sizes(shape: unknown, T: number, start: number): Record<string, number> }).sizes(
              shape,
              1,
              position,
            );
            if (run.length === 1) expect(workgroups(1, position)[1]).toBe(1);
            // Whoever writes splits and whoever joins them count them alike.
            const parts = sizes.partial_ ?? (run.length === 2 ? sizes.out! : 0);
            expect(parts).toBeLessThanOrEqual(splits * planeBytes(H * Hd));
            if (run.length === 2) expect(parts).toBe(recorder.dispatches[0]!.workgroups(1, position)[1] * planeBytes(H * Hd));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Junk in workgroup memory: Dawn leaves there what another dispatch left where its checks are off. */
import { afterAll, describe, expect, it } from "vitest";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { ORDER_LAW } from "../../check/case.ts";
import { checkKernel } from "../../check.ts";
import { allKernels } from "../../host/kernels.ts";
import { kitOf } from "../../laws.ts";
import { fillWorkgroupMemory } from "../../mutation/unset.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";

let gpu: Gpu | undefined;
afterAll(() => gpu && closeDevice(gpu));

describe("junk in workgroup memory", () => {
  it("fills every variable of every kernel that has some, and leaves the others as they are", async () => {
    for (const kernel of (await allKernels()).values()) {
      const names = [...kernel.wgsl.matchAll(/var<workgroup>\s+(\w+)/g)].map(([, name]) => name!);
      for (const finite of [false, true]) {
        const { wgsl } = fillWorkgroupMemory(kernel, finite);
        const begin = /fn main[^{]*\{(.*)/.exec(wgsl)?.[1] ?? "";
        for (const name of names) expect(begin).toMatch(new RegExp(`\\b${name}(?:[[.][^;]*)? = |&${name}\\b`));
        expect(wgsl === kernel.wgsl).toBe(names.length === 0);
      }
    }
  });

  it("shows a kernel that reads what it did not set, and passes the one that sets it", async () => {
    gpu = await openDevice({ portable: true });
    const [set, half] = [
      "for (var i = tid; i < 4u * PARTS; i += 256u) { factor[splits + i] = 0.0; }",
      "factor[splits + tid] = 0.0;",
    ] as const;
    const faulty = (kernel: Kernel): Kernel => {
      if (kernel.name !== "attention-combine") return kernel;
      expect(kernel.wgsl).toContain(set);
      return { ...kernel, wgsl: kernel.wgsl.replace(set, half) };
    };
    const recipe = { kind: "normal" as const, exponent: 0, seed: 1 };
    const spec = { T: 1, start: 64, G: 1, perGroup: 2, Hd: 8, window: null, q: recipe, k: recipe, v: recipe };
    const kit = { ...kitOf("attention"), boundaries: [spec] };
    for (const [rewrite, expected] of [
      [undefined, 0],
      [faulty, 1],
    ] as const) {
      const subject = webgpuSubjects({ gpu, ...(rewrite ? { rewrite } : {}) }).find(
        ({ variant }) => variant === "attention-decode-64-keys-2-heads",
      );
      expect((await checkKernel(kit, subject!, { runs: 0, seed: 1, laws: [ORDER_LAW] })).failures).toHaveLength(expected);
    }
  });
});

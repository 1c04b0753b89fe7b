import { describe, expect, it } from "vitest";
import { fingerprint, formatFingerprint, outOfSpecification } from "../../device/arithmetic.ts";
import { testDevice } from "../gpu/device.ts";

describe("the fingerprint of a device", async () => {
  const gpu = await testDevice();
  const f = await fingerprint(gpu);

  it("is the same each time, and tells how far it is", async () => {
    const told: number[][] = [];
    expect(await fingerprint(gpu, (done, total) => void told.push([done, total]))).toEqual(f);
    const total = told[0]![1]!;
    expect(total).toBeGreaterThan(5);
    expect(told).toEqual(Array.from({ length: total + 1 }, (_, i) => [i, total]));
  });

  it("finds every built-in within what WGSL allows", () => {
    expect(outOfSpecification(f)).toEqual([]);
  });

  it("counts every sample once, and the largest error where it belongs", () => {
    for (const h of [f.division, f.exp, f.inverseSqrt, f.sqrt]) {
      expect(h.counts.reduce((a, b) => a + b, 0)).toBe(h.samples);
      expect(h.samples).toBeGreaterThan(60_000);
      const last = h.counts.findLastIndex((n) => n > 0);
      expect(h.largest).toBeGreaterThan(last === 0 ? 0 : last === 1 ? 0.5 : last - 1);
    }
  });

  it("knows an f16 route only where the device has f16, and an order of subgroupAdd only where it has subgroups", () => {
    const has = (feature: string): boolean => gpu.capabilities.features.includes(feature);
    expect(f.f16Rounding.store !== null).toBe(has("shader-f16"));
    expect(f.f16Rounding.convert !== null).toBe(has("shader-f16"));
    expect(f.subgroupAdd !== null).toBe(has("subgroups"));
  });

  it("says which built-in is out of specification", () => {
    const broken = { ...f, exp: { ...f.exp, allowanceUsed: 2 } };
    expect(outOfSpecification(broken)).toEqual(["exp(x): 2.00 times what WGSL allows"]);
    expect(formatFingerprint(f).split("\n")).toHaveLength(17);
  });
});

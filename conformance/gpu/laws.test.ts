import { readdirSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { GureumError } from "../../core/errors.ts";
import { closeDevice, type Gpu, openDevice } from "../../gpu/device.ts";
import { laws } from "../laws.ts";
import { checkKernel } from "../runner.ts";
import { webgpuSubjects } from "../subjects/webgpu.ts";

/** Random cases a law in CI; `gureum conformance --time` is the long hunt. */
const RUNS = 40;

let gpu: Gpu | undefined;
try {
  gpu = await openDevice();
} catch (error) {
  if (!(error instanceof GureumError) || error.code !== "no-adapter") throw error;
}

afterAll(() => {
  if (gpu) closeDevice(gpu);
});

describe.skipIf(!gpu)("GPU kernels", () => {
  const subjects = gpu ? webgpuSubjects({ gpu }) : [];

  it("have a kit each, found from the tree", () => {
    const files = readdirSync(new URL("../../gpu/kernels/", import.meta.url), { recursive: true, encoding: "utf8" });
    const names = files.filter((name) => name.endsWith(".ts")).map((name) => name.slice(name.lastIndexOf("/") + 1, -3));
    const covered = new Set(subjects.flatMap((s) => s.kernels ?? []));
    expect(names.filter((name) => !covered.has(name))).toEqual([]);
    expect(subjects.filter((s) => !Object.hasOwn(laws, s.op))).toEqual([]);
  });

  for (const subject of subjects)
    it(`${subject.variant} holds every law of ${subject.op}`, async () => {
      const { failures, cases } = await checkKernel(laws[subject.op]!, subject, { runs: RUNS, seed: 20261123 });
      expect(failures).toEqual([]);
      expect(cases).toBeGreaterThan(RUNS);
    });
});

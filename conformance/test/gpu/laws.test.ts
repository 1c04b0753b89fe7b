import process from "node:process";
import { afterAll, describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { checkKernel } from "../../check.ts";
import { allKernels } from "../../host/kernels.ts";
import { kitOf, laws } from "../../laws.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";

/**
 * Random cases per law, and milliseconds for all laws of a subject, cases of real sizes first: software compiles some pipelines for seconds, and
 * there are more than a hundred subjects. `gureum conformance --time` is the long hunt.
 */
const [RUNS, TIME_MS] = [40, 1200];

/** The same kernels as other subjects with a size more, which software Vulkan compiles for half a minute: where GUREUM_LONG=1. */
const long = new Set(["matmul-tile16-of-two", "matmul-tile16-in-pieces", "matmul-tile64-in-pieces", "awq-tile64-in-pieces"]);

let gpu: Gpu | undefined;
try {
  gpu = await openDevice();
} catch (error) {
  if (!(error instanceof GureumError) || error.code !== "no-adapter") throw error;
}

afterAll(() => {
  if (gpu) closeDevice(gpu);
});

describe("kernel files", () => {
  it("have a subject and a kit each, found from the tree", async () => {
    // Subjects only name their kernels here: Dawn's null backend computes nothing and needs no GPU.
    const nothing = await openDevice({ backend: "null" });
    const subjects = webgpuSubjects({ gpu: nothing });
    const covered = new Set(subjects.flatMap((s) => s.kernels ?? []));
    const kernels = [...(await allKernels()).values()];
    expect(kernels.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
    expect(subjects.filter((s) => !Object.hasOwn(laws, s.op))).toEqual([]);
    closeDevice(nothing);
  });
});

describe.skipIf(!gpu)("GPU kernels", () => {
  const subjects = gpu ? webgpuSubjects({ gpu }) : [];

  for (const subject of subjects)
    it.skipIf(long.has(subject.variant) && process.env.GUREUM_LONG !== "1")(
      `${subject.variant} holds every law of ${subject.op}`,
      async () => {
        const { failures, cases } = await checkKernel(kitOf(subject.op), subject, { runs: RUNS, seed: 20261123, timeMs: TIME_MS });
        expect(failures).toEqual([]);
        expect(cases).toBeGreaterThan(0);
      },
    );
});

/** A kernel of one's own beside gureum's in one call. */

import { checkOwn, type OwnKernel } from "../conformance/own/kernel.ts";
import { checkOptionsObject } from "../core/arguments.ts";
import { adoptDevice, closeDevice, type Gpu, openDevice } from "../gpu/device/device.ts";
import { measureLimits } from "./device.ts";
import { makeGpuTimer } from "./gpu-timer.ts";
import { defaultPlan, type Plan, shortPlan } from "./harness.ts";
import { type KernelRows, type KernelSelection, measureKernels } from "./kernels.ts";
import type { Limits } from "./results.ts";

/** On which shapes, where and how long. */
export interface OwnKernelBench extends Omit<KernelSelection, "own"> {
  /** Where it runs: a device of the caller's, or the default one without bounds checks, opened and closed again. */
  readonly device?: GPUDevice | Gpu;
  /** From `measureLimits`; measured first where absent. */
  readonly limits?: Limits;
  /** `defaultPlan`, or `shortPlan` on a software device, where absent. */
  readonly plan?: Plan;
}

/**
 * What `gureum bench kernels --with` does: the kernel in turns with gureum's of its task, the results of all held to
 * their bounds.
 * @throws GureumError "no-adapter", and as `measureKernels` and `ownSubjects`
 */
export async function benchOwnKernel(own: OwnKernel, options: OwnKernelBench): Promise<KernelRows> {
  checkOptionsObject("benchOwnKernel", options ?? null);
  const { device, limits, plan, ...selection } = options;
  const kernel = checkOwn("benchOwnKernel", own);
  const gpu = device === undefined ? await openDevice({ robustness: false }) : "capabilities" in device ? device : adoptDevice(device);
  try {
    const timer = await makeGpuTimer(gpu);
    try {
      const rounds = plan ?? (gpu.capabilities.software ? shortPlan : defaultPlan);
      const ceilings = limits ?? (await measureLimits(timer, rounds)).limits;
      return await measureKernels(timer, { ...selection, own: [kernel] }, ceilings, rounds);
    } finally {
      timer.close();
    }
  } finally {
    if (device === undefined) closeDevice(gpu);
  }
}

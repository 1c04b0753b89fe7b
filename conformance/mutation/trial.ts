/** One mutant held to the laws of every subject that runs its kernel, until one notices. */
import type { Gpu } from "../../gpu/device/device.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { BOUND_LAW } from "../check/case.ts";
import { checkKernel } from "../check.ts";
import { kitOf } from "../laws.ts";
import { webgpuSubjects } from "../subjects/webgpu.ts";
import type { Mutant } from "./text.ts";

/** "untried": the device runs no subject of the kernel. */
export type Verdict = "killed" | "survived" | "refused" | "untried";

export interface MutantResult {
  readonly mutant: Mutant;
  readonly verdict: Verdict;
  /** The law that noticed it, or what the compiler said. */
  readonly by: string;
}

/** What gpu/pipeline/compile.ts says of WGSL that the compiler refuses; a test holds the two together. */
export const NOT_COMPILED = "does not compile on this device";

/**
 * Runs the laws of every subject that uses the mutant's kernel until one notices. A fault that acts from some n on is
 * met by boundary cases alone, since random ones are small, and by their bounds.
 */
export async function tryMutant(
  gpu: Gpu,
  kernel: Kernel,
  mutant: Mutant,
  options: { runs: number; seed: number; onCase?: () => void },
): Promise<MutantResult> {
  const faulty: Kernel = { ...kernel, wgsl: mutant.wgsl };
  const held = mutant.family === "from n on" ? { ...options, runs: 0, laws: [BOUND_LAW] } : options;
  let tried = false;
  const rig = { gpu, rewrite: (k: Kernel): Kernel => (k.name === kernel.name ? faulty : k) };
  try {
    for (const subject of webgpuSubjects(rig)) {
      if (!subject.kernels?.includes(kernel.name)) continue;
      tried = true;
      const { failures } = await checkKernel(kitOf(subject.op), subject, { ...held, bail: true });
      if (!failures[0]) continue;
      const { law, message } = failures[0];
      if (message.includes(NOT_COMPILED)) return { mutant, verdict: "refused", by: message };
      return { mutant, verdict: "killed", by: `${subject.variant}: ${law}` };
    }
  } finally {
    // Hundreds of pipelines are used once each.
    for (const key of gpu.pipelines.keys())
      if (key.includes(JSON.stringify(mutant.wgsl).slice(1, -1)) || gpu.pipelines.size > 200) gpu.pipelines.delete(key);
  }
  return { mutant, verdict: tried ? "survived" : "untried", by: "" };
}

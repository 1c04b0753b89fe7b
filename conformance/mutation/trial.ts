/** One mutant held to the laws of every subject that runs its kernel, until one notices. */
import type { Gpu } from "../../gpu/device/device.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { BOUND_LAW } from "../check/case.ts";
import { REFUSED } from "../check/replay.ts";
import { checkKernel } from "../check.ts";
import type { AnyKit, AnySubject } from "../kit.ts";
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

const kits = new Map<AnyKit, AnyKit>();

/** The kit with what it makes and expects kept: its boundary cases are the same for mutant after mutant. */
function kept(kit: AnyKit): AnyKit {
  const known = kits.get(kit);
  if (known) return known;
  const cases = new Map<unknown, unknown>();
  const expected = new Map<unknown, Map<string, ReturnType<AnyKit["expected"]>>>();
  const keeping: AnyKit = {
    ...kit,
    make(spec) {
      if (!cases.has(spec)) cases.set(spec, kit.make(spec));
      return cases.get(spec);
    },
    expected(c, arithmetic) {
      const of = expected.get(c) ?? new Map<string, ReturnType<AnyKit["expected"]>>();
      expected.set(c, of);
      const value = of.get(arithmetic) ?? kit.expected(c, arithmetic);
      of.set(arithmetic, value);
      return value;
    },
  };
  kits.set(kit, keeping);
  return keeping;
}

const adapted = new Map<string, Map<unknown, unknown>>();

/** The subject with the cases that it adapts kept. */
function keptSubject(subject: AnySubject): AnySubject {
  if (!subject.adapt) return subject;
  const of = adapted.get(subject.variant) ?? new Map<unknown, unknown>();
  adapted.set(subject.variant, of);
  return {
    ...subject,
    adapt(c: unknown) {
      if (!of.has(c)) of.set(c, subject.adapt!(c));
      return of.get(c);
    },
  };
}

const far = new Map<AnyKit, AnyKit>();

/** The kit with its cases of real sizes alone, where it has some. */
function reaching(kit: AnyKit): AnyKit {
  const made = far.get(kit) ?? kept(kit.reach ? { ...kit, boundaries: [] } : kit);
  far.set(kit, made);
  return made;
}

/**
 * Runs the laws of every subject that uses the mutant's kernel until one notices. A fault that acts from some n on is
 * met by cases of real sizes alone, since others are small, and by their bounds.
 * @throws GureumError "device-lost": it killed the mutant, and the next one needs another device
 */
export async function tryMutant(
  gpu: Gpu,
  kernel: Kernel,
  mutant: Mutant,
  options: { runs: number; seed: number; onCase?: () => void },
): Promise<MutantResult> {
  const faulty: Kernel = { ...kernel, wgsl: mutant.wgsl };
  const fromOn = mutant.family === "from n on";
  const held = fromOn ? { ...options, runs: 0, laws: [BOUND_LAW] } : options;
  let tried = false;
  const rig = { gpu, rewrite: (k: Kernel): Kernel => (k.name === kernel.name ? faulty : k) };
  try {
    for (const subject of webgpuSubjects(rig)) {
      if (!subject.kernels?.includes(kernel.name)) continue;
      tried = true;
      const kit = kitOf(subject.op);
      const { failures } = await checkKernel(fromOn ? reaching(kit) : kit, fromOn ? keptSubject(subject) : subject, {
        ...held,
        bail: true,
      });
      // A subject that takes none of a kit's cases of real sizes says nothing of the mutant.
      if (!failures[0] || failures[0].message.startsWith(REFUSED)) continue;
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

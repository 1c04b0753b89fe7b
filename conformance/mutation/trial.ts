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
  /** The law that noticed it and what it said, or what the compiler said. */
  readonly by: string;
}

/** What gpu/pipeline/compile.ts says of WGSL that the compiler refuses; a test holds the two together. */
export const NOT_COMPILED = "does not compile on this device";

/** The kit with its listed cases kept, and what is expected of them: they are the same for mutant after mutant. */
function kept(kit: AnyKit): AnyKit {
  const listed = new Set<unknown>([...(kit.reach ?? []), ...kit.boundaries]);
  const cases = new Map<unknown, unknown>();
  const expected = new WeakMap<object, Map<string, ReturnType<AnyKit["expected"]>>>();
  return {
    ...kit,
    make(spec) {
      if (!listed.has(spec)) return kit.make(spec);
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
}

const adapted = new Map<string, WeakMap<object, unknown>>();

/** The subject with the cases that it adapts kept as long as what they are made from. */
function keptSubject(subject: AnySubject): AnySubject {
  if (!subject.adapt) return subject;
  const name = `${subject.op} ${subject.variant}`;
  const of = adapted.get(name) ?? new WeakMap<object, unknown>();
  adapted.set(name, of);
  return {
    ...subject,
    adapt(c: object) {
      if (!of.has(c)) of.set(c, subject.adapt!(c));
      return of.get(c);
    },
  };
}

/** A kit in two: its small cases, and those of real sizes alone where it has some. */
interface Halves {
  readonly near: AnyKit;
  readonly far: AnyKit | undefined;
}
const halves = new Map<AnyKit, Halves>();

/** Puts the case that noticed a mutant before the others: it is likely to notice the next one too. */
function firstNextTime(kit: AnyKit, replay: string): void {
  const reach = kit.reach as unknown[] | undefined;
  const at = reach?.findIndex((spec) => JSON.stringify(spec) === JSON.stringify((JSON.parse(replay) as unknown[])[3])) ?? -1;
  if (reach && at > 0) reach.unshift(...reach.splice(at, 1));
}

function halvesOf(kit: AnyKit): Halves {
  const known = halves.get(kit);
  if (known) return known;
  const { reach, ...near } = kit;
  const made = { near: kept(near), far: reach ? kept({ ...kit, reach: [...reach], boundaries: [] }) : undefined };
  halves.set(kit, made);
  return made;
}

/**
 * Runs the laws of every subject that uses the mutant's kernel until one notices: on small cases first, which most
 * faults show on, then the bound on those of real sizes. A fault that acts from some n on is met by the latter alone.
 * @throws GureumError "device-lost": it killed the mutant, and the next one needs another device
 */
export async function tryMutant(
  gpu: Gpu,
  kernel: Kernel,
  mutant: Mutant,
  options: { runs: number; seed: number; onCase?: () => void },
): Promise<MutantResult> {
  const faulty: Kernel = { ...kernel, wgsl: mutant.wgsl };
  const far = { ...options, runs: 0, laws: [BOUND_LAW], bail: true };
  let tried = false;
  const rig = { gpu, rewrite: (k: Kernel): Kernel => (k.name === kernel.name ? faulty : k) };
  try {
    const subjects = webgpuSubjects(rig).filter(({ kernels }) => kernels?.includes(kernel.name));
    const rounds = subjects.flatMap((subject) => {
      const kit = halvesOf(kitOf(subject.op));
      return [
        ...(mutant.family === "from n on" && kit.far ? [] : [{ subject, kit: kit.near, held: { ...options, bail: true }, isFar: 0 }]),
        ...(kit.far ? [{ subject, kit: kit.far, held: far, isFar: 1 }] : []),
      ];
    });
    for (const { subject, kit, held } of rounds.toSorted((a, b) => a.isFar - b.isFar)) {
      tried = true;
      const { failures } = await checkKernel(kit, keptSubject(subject), held);
      // A subject that takes none of a kit's cases of real sizes says nothing of the mutant.
      if (!failures[0] || failures[0].message.startsWith(REFUSED)) continue;
      const { law, message, replay } = failures[0];
      firstNextTime(kit, replay);
      if (message.includes(NOT_COMPILED)) return { mutant, verdict: "refused", by: message };
      return { mutant, verdict: "killed", by: `${subject.variant}: ${law}: ${message}` };
    }
  } finally {
    // Hundreds of pipelines are used once each.
    for (const key of gpu.pipelines.keys())
      if (key.includes(JSON.stringify(mutant.wgsl).slice(1, -1)) || gpu.pipelines.size > 200) gpu.pipelines.delete(key);
  }
  return { mutant, verdict: tried ? "survived" : "untried", by: "" };
}

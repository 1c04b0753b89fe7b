/**
 * GPU kernels as subjects: every kernel of gpu/kernels in every way it is called, each with its invocations renumbered
 * and with junk in its workgroup memory as well.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import * as kernels from "../kernels.ts";
import type { AnySubject } from "../kit.ts";
import { renumberInvocations } from "../mutation/schedule.ts";
import { fillWorkgroupMemory } from "../mutation/unset.ts";
import type { AnyGpuSubject, Rig } from "./rig.ts";

const subjectsOf = (rig: Rig): AnyGpuSubject[] => Object.values(kernels).flatMap((subjects) => subjects(rig));

/** Every subject with its renumbered twins, whose workgroup memory holds junk at first. */
function renumbered(rig: Rig): AnyGpuSubject[] {
  const disturbed = (kernel: Kernel, backwards: boolean): Kernel => renumberInvocations(fillWorkgroupMemory(kernel, backwards), backwards);
  const twins = [false, true].map((backwards) =>
    subjectsOf({ ...rig, rewrite: (kernel) => disturbed(rig.rewrite ? rig.rewrite(kernel) : kernel, backwards) }),
  );
  return subjectsOf(rig).map((subject, i) => ({
    ...subject,
    rerun: (c: unknown, out: Float32Array, backwards: boolean) => twins[backwards ? 1 : 0]![i]!.run(c, out),
  }));
}

/**
 * Every subject on this device; those whose kernels loop over what a row of workgroups leaves with two of them, too.
 */
export function webgpuSubjects(rig: Rig): readonly AnySubject[] {
  const few = renumbered({ ...rig, workgroupsX: 2 }).filter(({ strides }) => strides);
  return [...renumbered(rig), ...few.map((subject) => ({ ...subject, variant: `${subject.variant}-two-workgroups` }))];
}

/** A kernel of one's own as subjects: each way that gureum's kernel is called for its op, with one's own in its place. */
import { sample } from "fast-check";
import { GureumError, withinAsync } from "../../core/errors.ts";
import type { Gpu } from "../../gpu/device/device.ts";
import { NotTaken } from "../check/not-taken.ts";
import { makeOutput } from "../compare.ts";
import * as kernels from "../kernels.ts";
import type { AnyKit, AnySubject } from "../kit.ts";
import { kitOf } from "../laws.ts";
import { renumberInvocations } from "../mutation/schedule.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { type OwnKernel, ownDispatch } from "./kernel.ts";

/** The backend of such subjects in tables and replay lines. */
export const OWN = "own";

const factories: Readonly<Record<string, (rig: Rig) => AnyGpuSubject[]>> = kernels;

/** Ways to call gureum's kernel `name` for an op; none for a kernel of another op. */
const waysOf = (rig: Rig, name: string, op: string): AnyGpuSubject[] =>
  (factories[name]?.(rig) ?? []).filter((s) => s.op === op && s.kernels?.[0] === name && !s.special);

/** The names of gureum's kernels of an op, its plainest first: the one of the op's own name. */
export function kernelsOf(gpu: Gpu, op: string): string[] {
  const names = Object.keys(factories).filter((name) => waysOf({ gpu }, name, op).length > 0);
  return [...names.filter((name) => name === op), ...names.filter((name) => name !== op)];
}

/** gureum's kernel whose place a kernel takes. @throws GureumError "usage" where no kernel of the op has this name */
export function likeOf(gpu: Gpu, { name, op, like }: OwnKernel): string {
  kitOf(op);
  const known = kernelsOf(gpu, op);
  const found = like === undefined ? known[0] : known.find((kernel) => kernel === like);
  if (found === undefined)
    throw new GureumError("usage", {
      where: name,
      what: like === undefined ? `gureum has no kernel of ${op} on this device to take buffers from` : `no such kernel of ${op}`,
      ...(like === undefined ? {} : { expected: `like: one of ${known.join(", ")}`, got: JSON.stringify(like) }),
      remedy: `ops with kernels are ${[...new Set(Object.keys(factories).flatMap((kernel) => (factories[kernel]!({ gpu }) ?? []).map((s) => s.op)))].join(", ")}`,
    });
  return found;
}

/** Random cases that are tried until a way takes one, behind all boundary cases. */
const DRAWN = 50;

/** Runs the first case that a subject takes. @returns whether there is one. @throws what running it throws */
async function takesOne(kit: AnyKit, subject: AnySubject): Promise<boolean> {
  for (const spec of [...kit.boundaries, ...sample(kit.spec, { numRuns: DRAWN, seed: 1 })]) {
    const drawn: unknown = kit.make(spec);
    const c: unknown = subject.adapt ? subject.adapt(drawn) : drawn;
    if (subject.accepts && !subject.accepts(c)) continue;
    try {
      await subject.run(c, makeOutput(kit.length(c)));
      return true;
    } catch (error) {
      if (!(error instanceof NotTaken)) throw error;
    }
  }
  return false;
}

/**
 * The subjects of a kernel on a device, for `checkKernel`; each has run one case, so that what is wrong with the record
 * or the WGSL is said here, once.
 * @throws GureumError "usage" for an op or kernel that is not there, or where no case is taken; "format", "range",
 * "pipeline" with the compiler's words, "missing-feature", "limit", "device-lost"
 */
export async function ownSubjects(gpu: Gpu, own: OwnKernel): Promise<AnySubject[]> {
  const like = likeOf(gpu, own);
  const kit = kitOf(own.op);
  const replace: NonNullable<Rig["replace"]> = (dispatch, T, start) =>
    dispatch.kernel.name === like ? ownDispatch(own, dispatch, T, start, gpu.capabilities) : dispatch;
  const twins = [false, true].map((backwards) =>
    waysOf(
      { gpu, replace, rewrite: (kernel) => (kernel.name === own.name ? renumberInvocations(kernel, backwards) : kernel) },
      like,
      own.op,
    ),
  );
  const subjects = waysOf({ gpu, replace }, like, own.op).map(
    ({ kernels: _, strides: _1, special: _2, ...way }, i): AnySubject => ({
      ...way,
      backend: OWN,
      variant: way.variant.replace(like, own.name),
      ...(own.arithmetic ? { arithmetic: own.arithmetic } : {}),
      rerun: (c: unknown, out: Float32Array, backwards: boolean) => twins[backwards ? 1 : 0]![i]!.run(c, out),
    }),
  );
  const taken: AnySubject[] = [];
  for (const subject of subjects) if (await withinAsync(own.op, () => takesOne(kit, subject))) taken.push(subject);
  if (taken.length === 0)
    throw new GureumError("usage", {
      where: own.name,
      what: `takes no case of ${own.op}`,
      expected: "`accepts` that is true for some shape",
      got: `none of ${kit.boundaries.length + DRAWN} tried`,
    });
  return taken;
}

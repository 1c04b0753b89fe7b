/**
 * Kernels of one's own among gureum's: where gureum's kernel is measured whose place one takes, it is measured as well,
 * in turns with all of that task; and the results of all of them are held to their bounds, since the time of a kernel
 * that computes something else is worth nothing.
 */

import { BOUND_LAW } from "../conformance/check/case.ts";
import { NotTaken } from "../conformance/check/not-taken.ts";
import { checkKernel, type Failure, type Row as LawRow } from "../conformance/check.ts";
import type { AnySubject } from "../conformance/kit.ts";
import { kitOf } from "../conformance/laws.ts";
import { type OwnKernel, ownDispatch } from "../conformance/own/kernel.ts";
import { likeOf, OWN, ownSubjects } from "../conformance/own/subjects.ts";
import { webgpuSubjects } from "../conformance/subjects/webgpu.ts";
import { GureumError } from "../core/errors.ts";
import type { Gpu } from "../gpu/device/device.ts";
import { makeRecorder } from "../gpu/pipeline/recorder.ts";
import type { WorkCase } from "./measured.ts";
import type { RowCheck } from "./results.ts";

/** A kernel of one's own, and gureum's kernel whose place it takes. */
export interface Placed {
  readonly own: OwnKernel;
  readonly like: string;
}

/** @throws GureumError "usage" as `likeOf` */
export const placeOwn = (gpu: Gpu, own: readonly OwnKernel[]): Placed[] =>
  own.map((kernel) => ({ own: kernel, like: likeOf(gpu, kernel) }));

/**
 * The case of gureum's kernel with one's own in its place; recording throws GureumError "unsupported" for a shape that
 * it does not take.
 */
export const inPlace = ({ own, like }: Placed, item: WorkCase, T: number): WorkCase => ({
  ...item,
  record(recorder, operands) {
    const recorded = makeRecorder();
    item.record(recorded, operands);
    const { capabilities } = operands.memory.gpu;
    for (const dispatch of recorded.dispatches) {
      if (dispatch.kernel.name !== like) recorder.dispatches.push(dispatch);
      else
        try {
          recorder.dispatches.push(ownDispatch(own, dispatch, T, item.start, capabilities));
        } catch (error) {
          if (error instanceof NotTaken)
            throw new GureumError("unsupported", {
              where: own.name,
              what: "does not take this shape",
              got: JSON.stringify(dispatch.shape),
            });
          // Workgroups that no device runs: of this shape, so it is left out, and the others are measured.
          if (error instanceof GureumError && error.code === "range") throw new GureumError("unsupported", error.details, error);
          throw error;
        }
    }
  },
});

const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** What was measured of several subjects, as one: the case nearest its bound. */
function merge(rows: readonly LawRow[]): RowCheck {
  const worst = rows.flatMap(({ worst: w }) => (w ? [w] : [])).sort((a, b) => b.headroom - a.headroom)[0];
  return {
    cases: rows.reduce((sum, { cases }) => sum + cases, 0),
    error: worst ? finite(worst.error) : 0,
    bound: worst?.bound ?? 0,
    holds: rows.every(({ failures }) => failures.length === 0),
  };
}

/** What bench found wrong with a kernel's results. */
export interface Violation extends Failure {
  /** Its name. */
  readonly kernel: string;
}

/**
 * Holds each kernel of one's own that is measured, and gureum's of the same ops, to the bounds of their results: boundary
 * cases, and `runs` random ones.
 * @param measured names of kernels
 * @param ownError what becomes of an error that speaks of one of them
 * @returns by the kernel's name
 * @throws as `ownSubjects`
 */
export async function checkResultsOf(
  gpu: Gpu,
  own: readonly OwnKernel[],
  runs: number,
  measured: ReadonlySet<string>,
  ownError: (own: OwnKernel, error: unknown) => unknown = (_, error) => error,
): Promise<{ readonly checks: ReadonlyMap<string, RowCheck>; readonly violations: readonly Violation[] }> {
  const found = new Map<string, AnySubject[]>();
  for (const kernel of own)
    found.set(
      kernel.name,
      await ownSubjects(gpu, kernel).catch((error: unknown) => {
        throw ownError(kernel, error);
      }),
    );
  const ops = new Set(own.map(({ op }) => op));
  for (const subject of webgpuSubjects({ gpu })) {
    const name = subject.kernels?.[0];
    if (name !== undefined && ops.has(subject.op) && !subject.variant.endsWith("-two-workgroups"))
      found.set(name, [...(found.get(name) ?? []), subject]);
  }
  const checks = new Map<string, RowCheck>();
  const violations: Violation[] = [];
  for (const [kernel, subjects] of found) {
    if (!measured.has(kernel)) continue;
    const rows: LawRow[] = [];
    for (const subject of subjects) rows.push(await checkKernel(kitOf(subject.op), subject, { runs, seed: 1, laws: [BOUND_LAW] }));
    checks.set(kernel, merge(rows));
    for (const { backend, failures } of rows) if (backend === OWN) violations.push(...failures.map((failure) => ({ ...failure, kernel })));
  }
  return { checks, violations };
}

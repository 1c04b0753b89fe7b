/**
 * Every kernel on a model's real shapes (bench/work/): those of one task in turns, each over so many distinct copies of
 * its weights or caches that no cache of the device serves them.
 */

import type { OwnKernel } from "../conformance/own/kernel.ts";
import { listening } from "../core/arguments.ts";
import { GureumError } from "../core/errors.ts";
import { occursIn } from "../core/names.ts";
import { makeRecorder, type PreparedDispatch, prepare } from "../gpu/pipeline/recorder.ts";
import { type GpuTimer, gpuCompetitor } from "./gpu-timer.ts";
import { type Competitor, measure, type Plan } from "./harness.ts";
import { linearsOf } from "./layer.ts";
import type { Work, WorkCase } from "./measured.ts";
import { makeOperands, type Operands } from "./operands.ts";
import { checkResultsOf, inPlace, type Placed, placeOwn, type Violation } from "./own-kernels.ts";
import { type Limits, makeRow, type Row, type RowCheck } from "./results.ts";
import type { Shape } from "./shapes.ts";
import * as work from "./work.ts";

/** The work of every kernel. */
export const works: readonly Work[] = Object.values(work).flat();

/**
 * Distinct bytes to rotate over: twice the largest GPU cache there is (256 MiB). A software device shares the CPU's
 * caches.
 */
const ROTATED_BYTES = 2 ** 29;
const ROTATED_BYTES_SOFTWARE = 2 ** 26;
/** Copies at most: small operands stay in a cache in a model, too. */
const MAX_COPIES = 64;

/** What to measure. */
export interface KernelSelection {
  /** The model's sizes. */
  readonly shape: Shape;
  /** Numbers of rows fed at once. */
  readonly rows: readonly number[];
  /** Part of a row's name, `*` standing for anything; every row without it. */
  readonly filter?: string;
  /** Names of kernels or of their variants; all where empty. */
  readonly variants?: readonly string[];
  /** Kernels of one's own: they are measured with gureum's kernels of their tasks, and these alone. */
  readonly own?: readonly OwnKernel[];
  /** Random cases, after all boundary cases, that hold the results of these to their bounds; 25 where absent. */
  readonly runs?: number;
  /** What becomes of an error that speaks of one of them: the place where it is written, say. */
  readonly ownError?: (own: OwnKernel, error: unknown) => unknown;
}

/** What could not run here, and why. */
export interface Skipped {
  /** The measurement's. */
  readonly name: string;
  /** Why it could not run. */
  readonly reason: string;
}

/** What a selection of kernels gave. */
export interface KernelRows {
  /** In the order of the plan. */
  readonly rows: readonly Row[];
  /** What could not run on this device. */
  readonly skipped: readonly Skipped[];
  /** Results of one's own kernels that leave their bounds. */
  readonly violations: readonly Violation[];
}

interface Planned {
  readonly name: string;
  readonly kernel: string;
  readonly way: string;
  readonly item: WorkCase;
  readonly T: number;
}

/** The measurements that a selection asks for, those that take turns together. */
export function planKernels(
  { shape, rows, filter = "", variants = [] }: KernelSelection,
  table: readonly Work[] = works,
  placed: readonly Placed[] = [],
): Planned[][] {
  const groups = new Map<string, Planned[]>();
  const matches = occursIn(filter);
  const nameOf = (kernel: string, { variant, step }: WorkCase, T: number): string =>
    [kernel, ...(variant ? [variant] : []), step, `T=${T}`, shape.name].join(" ");
  for (const T of rows)
    for (const { kernel, task, way = kernel, cases } of table)
      for (const item of cases(shape.config, T)) {
        const mine = placed
          .filter(({ like }) => like === kernel)
          .map((one) => ({
            kernel: one.own.name,
            way: way === kernel ? one.own.name : `${way}, ${one.own.name}`,
            item: inPlace(one, item, T),
          }));
        const taken = [...mine, { kernel, way, item }]
          .map((one) => ({ ...one, name: nameOf(one.kernel, one.item, T), T }))
          .filter(({ name }) => matches(name))
          .filter((one) => variants.length === 0 || variants.includes(one.kernel) || (item.variant && variants.includes(item.variant)));
        const key = JSON.stringify([task, item.step, T]);
        if (taken.length > 0) groups.set(key, [...(groups.get(key) ?? []), ...taken]);
      }
  const owned = new Set(placed.map(({ own }) => own.name));
  return [...groups.values()].filter((group) => owned.size === 0 || group.some(({ kernel }) => owned.has(kernel)));
}

/** Operands and prepared copies of one measurement. */
async function prepareCopies(
  timer: GpuTimer,
  { item }: Planned,
  operands: Operands,
): Promise<{ copies: PreparedDispatch[][]; rotatedBytes: number }> {
  const rotated = timer.gpu.capabilities.software ? ROTATED_BYTES_SOFTWARE : ROTATED_BYTES;
  const recorder = makeRecorder();
  item.record(recorder, operands);
  const dispatches = recorder.dispatches.length;
  const each = operands.ownBytes();
  const count = each === 0 ? 1 : Math.max(1, Math.min(MAX_COPIES, Math.ceil(rotated / each)));
  for (let copy = 1; copy < count; copy++) item.record(recorder, operands);
  await operands.fill();
  const prepared = await prepare(recorder, operands.memory);
  return {
    copies: Array.from({ length: count }, (_, copy) => prepared.slice(copy * dispatches, (copy + 1) * dispatches)),
    rotatedBytes: operands.ownBytes(),
  };
}

/** What keeps one kernel from running and leaves the others alone. */
const isSkip = (error: unknown): error is GureumError =>
  error instanceof GureumError && ["missing-feature", "limit", "out-of-memory", "unsupported"].includes(error.code);

/**
 * Measures what a selection asks for, the kernels of one task in turns.
 * @param onProgress after each group: measurements done so far, and in all
 * @throws GureumError "usage" where the selection is empty, "pipeline", "device-lost"
 */
export async function measureKernels(
  timer: GpuTimer,
  selection: KernelSelection,
  limits: Limits,
  plan: Plan,
  onProgress?: (done: number, total: number) => void,
): Promise<KernelRows> {
  return listening({ onProgress }, ["onProgress"], (heard) => measureGroups(timer, selection, limits, plan, heard.onProgress));
}

async function measureGroups(
  timer: GpuTimer,
  selection: KernelSelection,
  limits: Limits,
  plan: Plan,
  onProgress: ((done: number, total: number) => void) | undefined,
): Promise<KernelRows> {
  const { own = [], runs = 25, ownError } = selection;
  const groups = planKernels(selection, works, placeOwn(timer.gpu, own));
  const total = groups.reduce((sum, group) => sum + group.length, 0);
  if (total === 0)
    throw new GureumError("usage", {
      where: "bench kernels",
      what: "no kernel matches",
      remedy: `kernels are ${[...own.map(({ name }) => ({ kernel: name })), ...works].map(({ kernel }) => kernel).join(", ")}`,
    });
  const { checks, violations } =
    own.length > 0
      ? await checkResultsOf(timer.gpu, own, runs, new Set(groups.flat().map(({ kernel }) => kernel)), ownError)
      : { checks: new Map<string, RowCheck>(), violations: [] };
  const rows: Row[] = [];
  const skipped: Skipped[] = [];
  let done = 0;
  onProgress?.(0, total);
  for (const group of groups) {
    const opened: Operands[] = [];
    const running: { planned: Planned; competitor: Competitor; rotatedBytes: number }[] = [];
    try {
      for (const planned of group) {
        try {
          const operands = makeOperands(timer.gpu, planned.T, planned.item.start);
          opened.push(operands);
          const { copies, rotatedBytes } = await prepareCopies(timer, planned, operands);
          running.push({ planned, competitor: gpuCompetitor(timer, planned.name, copies, planned.T, planned.item.start), rotatedBytes });
        } catch (error) {
          if (!isSkip(error)) throw error;
          skipped.push({ name: planned.name, reason: error.message });
        }
      }
      const timings = await measure(
        running.map(({ competitor }) => competitor),
        plan,
      );
      for (const [i, timing] of timings.entries()) {
        const { planned, rotatedBytes } = running[i]!;
        const check = checks.get(planned.kernel);
        // What only moves weights from one layout to another computes no linear.
        const linears = planned.item.counts.operations === undefined ? [] : linearsOf(planned.item.step);
        rows.push(
          makeRow("kernels", timing, planned.item.counts, limits, {
            ...(rotatedBytes > 0 ? { rotatedBytes } : {}),
            ...(check ? { check } : {}),
            ...(linears.length > 0 ? { layer: { way: planned.way, linears, calls: planned.item.calls ?? 1, T: planned.T } } : {}),
          }),
        );
      }
    } finally {
      for (const operands of opened) operands.close();
    }
    done += group.length;
    onProgress?.(done, total);
  }
  return { rows, skipped, violations };
}

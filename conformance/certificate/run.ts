/**
 * The whole suite as one call: which subjects, how long, and the certificate that comes out. The command is a thin
 * shell of it.
 */
import { listening } from "../../core/arguments.ts";
import { GureumError } from "../../core/errors.ts";
import { occursIn } from "../../core/names.ts";
import { closeDevice } from "../../gpu/device/device.ts";
import { type Failure, parseReplay, type Row, replay, subjectName } from "../check.ts";
import { fingerprint } from "../device/arithmetic.ts";
import type { AnySubject } from "../kit.ts";
import { laws } from "../laws.ts";
import { textOf } from "../own/kernel.ts";
import { type Certificate, UNLIMITED } from "./certificate.ts";
import { environment } from "./environment.ts";
import type { DeviceIdentity } from "./identity.ts";
import { startJobs } from "./jobs.ts";
import type { Journal } from "./journal.ts";
import { type Check, checkSubject, gather, notRun, type SubjectOptions } from "./subjects.ts";

/** What to run, and for how long. */
export interface ConformanceOptions extends SubjectOptions {
  /** Only ops or variants whose "op backend/variant" contains this, `*` standing for anything. */
  readonly filter?: string;
  /** Only this variant. */
  readonly variant?: string;
  /**
   * Random cases per law: 100 where neither this nor `timeMs` is given; with `timeMs` alone, as many as time allows.
   */
  readonly runs?: number;
  /** Of the cases; 1 where absent. */
  readonly seed?: number;
  /**
   * Time for the whole run, boundary cases included: what is left is shared out evenly over the subjects that are left.
   * Only a case that runs when it ends is waited for. What was left out is in the rows.
   */
  readonly timeMs?: number;
  /**
   * Subjects checked at once, each in a process of its own; 1 unless told. For this package's subjects alone, in Node
   * and Deno.
   */
  readonly jobs?: number;
  /** Keeps the rows as they come, and those of an interrupted run. */
  readonly journal?: Journal;
  /** What is about to be run, and the rows of an interrupted run that are taken as they are. */
  readonly onStart?: (start: {
    readonly devices: readonly DeviceIdentity[];
    readonly subjects: readonly AnySubject[];
    readonly finished: readonly Row[];
  }) => void;
  /** Each row as it ends; the next subject waits for it. */
  readonly onRow?: (row: Row) => void | Promise<void>;
  /** Called as each subject begins and ends, with the number that have ended. */
  readonly onProgress?: (done: number, total: number, what: string, violated: number) => void;
}

/**
 * The order where time is limited, and may end before all had their turn: a device is what is asked about, so its kernels come before the
 * CPU's ops, and one variant of each op before the second of any.
 */
function ranksOf(subjects: readonly AnySubject[]): number[] {
  const before = new Map<string, number>();
  return subjects.map(({ op, backend }) => {
    const key = `${backend} ${op}`;
    const nth = before.get(key) ?? 0;
    before.set(key, nth + 1);
    return nth + (backend === "cpu" ? subjects.length : 0);
  });
}

/**
 * Holds subjects to their laws and gives the certificate.
 * @throws GureumError "usage" where nothing is selected, "no-adapter" where webgpu is asked for and absent
 */
export async function runConformance(options: ConformanceOptions = {}): Promise<Certificate> {
  return listening(options, ["onStart", "onProgress"], run);
}

async function run(options: ConformanceOptions): Promise<Certificate> {
  const began = performance.now();
  const { filter = "", seed = 1, timeMs, jobs = 1, journal, onStart, onRow, onProgress } = options;
  const runs = options.runs ?? (timeMs === undefined ? 100 : UNLIMITED);
  if (jobs > 1 && (options.subjects || options.own))
    throw new GureumError("usage", {
      where: "conformance",
      what: "jobs",
      expected: "1 where subjects or kernels of one's own are given",
      got: `${jobs}`,
    });
  const { subjects, devices, gpu } = await gather(options);
  let stop = (): void => {};
  try {
    const wanted = occursIn(filter);
    const chosen = [...subjects.entries()].filter(
      ([, s]) => wanted(`${s.op} ${subjectName(s)}`) && (options.variant === undefined || s.variant === options.variant),
    );
    if (chosen.length === 0)
      throw new GureumError("usage", {
        where: "conformance",
        what: "nothing to run",
        got: `filter ${JSON.stringify(filter)}${options.variant === undefined ? "" : `, variant ${JSON.stringify(options.variant)}`}`,
        remedy: `there are ${subjects.map((s) => `${s.op} ${subjectName(s)}`).join(", ")}`,
      });
    let checks: readonly Check[] = [(index, given) => checkSubject(subjects[index]!, given)];
    const atOnce = Math.min(jobs, chosen.length);
    if (atOnce > 1) {
      ({ checks, stop } = startJobs(atOnce, options));
    }
    // Both the measurement of the device and what stands around the rows count as time of the run.
    const about = await environment();
    const measured = gpu ? [...devices.slice(0, -1), { ...devices.at(-1)!, arithmetic: await fingerprint(gpu) }] : devices;
    const own = options.own ? { own: options.own.map(textOf) } : {};
    const head = { ...about, devices: measured, seed, runs, timeMs: timeMs ?? null, filter, ...own };
    const { date: _, ...same } = head;
    const before = (await journal?.open({ format: "gureum-conformance-run/1", ...same, variant: options.variant ?? "" })) ?? [];
    const rows = chosen.map(([, s]) => before.find((row) => row.op === s.op && `${row.backend}/${row.variant}` === subjectName(s)));
    onStart?.({ devices: measured, subjects: chosen.map(([, s]) => s), finished: rows.filter((row) => row !== undefined) });
    const open = [...rows.keys()].filter((at) => rows[at] === undefined);
    if (timeMs !== undefined) {
      const ranks = ranksOf(chosen.map(([, s]) => s));
      open.sort((a, b) => ranks[a]! - ranks[b]!);
    }
    let begun = 0;
    let ended = chosen.length - open.length;
    let violated = rows.reduce((sum, row) => sum + (row?.failures.length ?? 0), 0);
    const work = async (check: Check): Promise<void> => {
      while (begun < open.length) {
        const place = begun++;
        const at = open[place]!;
        const [index, subject] = chosen[at]!;
        onProgress?.(ended, chosen.length, `${subject.op} ${subjectName(subject)}`, violated);
        const left = timeMs === undefined ? undefined : timeMs - (performance.now() - began);
        const share = left === undefined ? {} : { timeMs: Math.min(left, (left * atOnce) / (open.length - place)) };
        const row = left !== undefined && left <= 0 ? notRun(subject) : await check(index, { runs, seed, ...share });
        rows[at] = row;
        if (row.cases > 0 || row.failures.length > 0) await journal?.add(row);
        violated += row.failures.length;
        await onRow?.(row);
        onProgress?.(++ended, chosen.length, `${subject.op} ${subjectName(subject)}`, violated);
      }
    };
    await Promise.all(checks.map(work));
    return {
      format: "gureum-conformance/1",
      ...head,
      date: new Date().toISOString(),
      elapsedMs: Math.round(performance.now() - began),
      rows: rows.map((row) => row!),
    };
  } finally {
    stop();
    if (gpu) closeDevice(gpu);
  }
}

/**
 * Runs the case of a replay line, which may speak of one of the kernels given.
 * @throws GureumError "usage" for anything else, "no-adapter"
 */
export async function replayLine(
  line: string,
  options: Pick<SubjectOptions, "own" | "ownError" | "adapter"> = {},
): Promise<Failure | null> {
  const backend = (["cpu", "emulated"] as const).find((name) => parseReplay(line)[1].startsWith(`${name}/`));
  const { subjects, gpu } = await gather(
    backend ? { backend, ...(options.adapter === undefined ? {} : { adapter: options.adapter }) } : options,
  );
  try {
    return await replay(line, laws, subjects);
  } finally {
    if (gpu) closeDevice(gpu);
  }
}

/** The whole suite as one call: which subjects, how long, and the certificate that comes out. The command is a thin shell of it. */
import { GureumError } from "../../core/errors.ts";
import { occursIn } from "../../core/names.ts";
import { closeDevice } from "../../gpu/device/device.ts";
import { type Failure, lawNames, parseReplay, type Row, replay, subjectName } from "../check.ts";
import { fingerprint } from "../device/arithmetic.ts";
import { kitOf, laws } from "../laws.ts";
import { type Certificate, UNLIMITED } from "./certificate.ts";
import { environment } from "./environment.ts";
import { type Check, checkSubject, gather, type SubjectOptions } from "./subjects.ts";

export interface ConformanceOptions extends SubjectOptions {
  /** Only ops or variants whose "op backend/variant" contains this, `*` standing for anything. */
  readonly filter?: string;
  /** Only this variant. */
  readonly variant?: string;
  /** Random cases a law, 100 unless told; without limit where `timeMs` is given. */
  readonly runs?: number;
  readonly seed?: number;
  /** Time for the whole run: shared out evenly over what is left to do. */
  readonly timeMs?: number;
  /** Subjects checked at once, each in a process of its own; 1 unless told. For this package's subjects alone, in Node and Deno. */
  readonly jobs?: number;
  /** Called as each subject begins and ends, with the number that have ended. */
  readonly onProgress?: (done: number, total: number, what: string, violated: number) => void;
}

/** @throws GureumError "usage" where nothing is selected, "no-adapter" where webgpu is asked for and absent */
export async function runConformance(options: ConformanceOptions = {}): Promise<Certificate> {
  const began = performance.now();
  const { filter = "", seed = 1, timeMs, jobs = 1, onProgress } = options;
  const runs = options.runs ?? (timeMs === undefined ? 100 : UNLIMITED);
  if (jobs > 1 && options.subjects)
    throw new GureumError("usage", { where: "conformance", what: "jobs", expected: "1 where subjects are given", got: `${jobs}` });
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
      const { startJobs } = await import("./jobs.ts");
      ({ checks, stop } = startJobs(atOnce, options));
    }
    const rows: Row[] = [];
    let begun = 0;
    let ended = 0;
    let violated = 0;
    const work = async (check: Check): Promise<void> => {
      while (begun < chosen.length) {
        const at = begun++;
        const [index, subject] = chosen[at]!;
        const name = `${subject.op} ${subjectName(subject)}`;
        const count = lawNames(kitOf(subject.op), subject).length;
        onProgress?.(ended, chosen.length, name, violated);
        const left = timeMs === undefined ? undefined : Math.max(1, timeMs - (performance.now() - began));
        const share = left === undefined ? {} : { timeMs: Math.min(left, (left * atOnce) / (chosen.length - at)) / count };
        const row = await check(index, { runs, seed, ...share });
        rows[at] = row;
        violated += row.failures.length;
        onProgress?.(++ended, chosen.length, name, violated);
      }
    };
    await Promise.all(checks.map(work));
    return {
      format: "gureum-conformance/1",
      ...(await environment()),
      devices: gpu ? [...devices.slice(0, -1), { ...devices.at(-1)!, arithmetic: await fingerprint(gpu) }] : devices,
      seed,
      runs,
      timeMs: timeMs ?? null,
      filter,
      elapsedMs: Math.round(performance.now() - began),
      rows,
    };
  } finally {
    stop();
    if (gpu) closeDevice(gpu);
  }
}

/** Runs the case of a replay line. @throws GureumError "usage" for a line that is none, "no-adapter" */
export async function replayLine(line: string): Promise<Failure | null> {
  const backend = parseReplay(line)[1].startsWith("cpu/") ? "cpu" : undefined;
  const { subjects, gpu } = await gather(backend ? { backend } : {});
  try {
    return await replay(line, laws, subjects);
  } finally {
    if (gpu) closeDevice(gpu);
  }
}

/** The whole suite as one call: which subjects, how long, and the certificate that comes out. The command is a thin shell of it. */
import { GureumError } from "../../core/errors.ts";
import { closeDevice, type Gpu, openDevice } from "../../gpu/device/device.ts";
import { type CheckOptions, checkKernel, type Failure, lawNames, parseReplay, type Row, replay, subjectName } from "../check.ts";
import { fingerprint } from "../device/arithmetic.ts";
import type { AnyKit, AnySubject } from "../kit.ts";
import { laws } from "../laws.ts";
import { cpuSubjects } from "../subjects/cpu.ts";
import { webgpuSubjects } from "../subjects/webgpu.ts";
import { type Certificate, type DeviceIdentity, UNLIMITED } from "./certificate.ts";

export interface ConformanceOptions {
  /** Absent: the CPU ops, and the GPU kernels where an adapter answers. */
  readonly backend?: "cpu" | "webgpu";
  /** Only ops or variants whose "op backend/variant" contains this, `*` standing for anything. */
  readonly filter?: string;
  /** Only this variant. */
  readonly variant?: string;
  /** Random cases a law, 100 unless told; without limit where `timeMs` is given. */
  readonly runs?: number;
  readonly seed?: number;
  /** Time for the whole run: shared out evenly over what is left to do. */
  readonly timeMs?: number;
  /** Subjects of one's own, instead of this package's. */
  readonly subjects?: readonly AnySubject[];
  /** false: Dawn without its bounds checks. */
  readonly robustness?: boolean;
  /** Subjects checked at once, each in a process of its own; 1 unless told. For this package's subjects alone, in Node and Deno. */
  readonly jobs?: number;
  /** Called as each subject begins and ends, with the number that have ended. */
  readonly onProgress?: (done: number, total: number, what: string, violated: number) => void;
}

const host = globalThis as {
  Deno?: { version: { deno: string; v8: string } };
  process?: { version: string; versions: { v8?: string } };
};

export const runtime: string = host.Deno ? `Deno ${host.Deno.version.deno}` : `Node ${host.process?.version ?? "?"}`;

/** What a GPU says of itself. */
export async function identify(gpu: Gpu, notes: readonly string[] = []): Promise<DeviceIdentity> {
  const { vendor, architecture, device, description } = gpu.capabilities;
  const implementation =
    host.Deno && gpu.instance === (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu ? "wgpu (Deno)" : "Dawn";
  return { backend: "webgpu", implementation, vendor, architecture, device, description, notes, arithmetic: await fingerprint(gpu) };
}

const cpuIdentity = (): DeviceIdentity => ({
  backend: "cpu",
  implementation: `JavaScript (V8 ${host.Deno?.version.v8 ?? host.process?.versions.v8 ?? "?"})`,
  vendor: "",
  architecture: "",
  device: "",
  description: "core/ops, sums in f64",
  notes: [],
});

/** The subjects that the options mean, and the device to close afterwards. */
export async function gather(
  options: ConformanceOptions,
): Promise<{ subjects: readonly AnySubject[]; devices: DeviceIdentity[]; gpu?: Gpu }> {
  if (options.subjects) return { subjects: options.subjects, devices: [] };
  const cpu = options.backend === "webgpu" ? [] : cpuSubjects();
  const devices = options.backend === "webgpu" ? [] : [cpuIdentity()];
  if (options.backend === "cpu") return { subjects: cpu, devices };
  try {
    const { robustness = true } = options;
    const gpu = await openDevice({ robustness });
    const notes = robustness ? [] : ["robustness off"];
    return { subjects: [...cpu, ...webgpuSubjects({ gpu })], devices: [...devices, await identify(gpu, notes)], gpu };
  } catch (error) {
    if (options.backend === "webgpu" || !(error instanceof GureumError) || error.code !== "no-adapter") throw error;
    return { subjects: cpu, devices };
  }
}

/** The row of a subject, given its place among all that were gathered. */
export type Check = (index: number, options: Pick<CheckOptions, "runs" | "seed" | "timeMs">) => Promise<Row>;

const kitOf = ({ op }: AnySubject): AnyKit => {
  if (!Object.hasOwn(laws, op)) throw new GureumError("usage", { where: "conformance", what: "no such op", got: op });
  return laws[op]!;
};

export const checkSubject = (subject: AnySubject, options: CheckOptions): Promise<Row> => checkKernel(kitOf(subject), subject, options);

const matcher = (pattern: string): RegExp => new RegExp(pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*"));

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
    const wanted = matcher(filter);
    const chosen = [...subjects.entries()].filter(
      ([, s]) => wanted.test(`${s.op} ${subjectName(s)}`) && (options.variant === undefined || s.variant === options.variant),
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
        const count = lawNames(kitOf(subject), subject).length;
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
      version: VERSION,
      runtime,
      devices,
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

/** The package's version: laws and arbitraries belong to it. */
export const VERSION = "0.1.0";

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

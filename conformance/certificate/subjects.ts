/** Which subjects a run is about, on which devices, and one of them held to its laws. */
import { notEmulated, withSubgroups } from "#subgroups";
import { GureumError } from "../../core/errors.ts";
import { adapterOfCpu } from "../../gpu/device/adapters.ts";
import { closeDevice, type Gpu, openDevice } from "../../gpu/device/device.ts";
import { openWasmCpu } from "../../wasm/cpu.ts";
import { type CheckOptions, checkKernel, lawNames, type Row } from "../check.ts";
import type { AnySubject } from "../kit.ts";
import { cpuSubjects, kitOf } from "../laws.ts";
import type { OwnKernel } from "../own/kernel.ts";
import { ownSubjects } from "../own/subjects.ts";
import { wasmSubjects } from "../subjects/wasm.ts";
import { webgpuSubjects } from "../subjects/webgpu.ts";
import { cpuIdentity, type DeviceIdentity, gpuIdentity } from "./identity.ts";

/** Which subjects to run. */
export interface SubjectOptions {
  /**
   * Absent: the CPU ops, and the GPU kernels where an adapter answers. "emulated": the kernels that the device lacks subgroups of 32 or
   * their matrices for, on an emulation of those.
   */
  readonly backend?: "cpu" | "webgpu" | "emulated";
  /** false: Dawn without its bounds checks. */
  readonly robustness?: boolean;
  /** Which of WebGPU's adapters: as `DeviceOptions`. */
  readonly adapter?: string | number;
  /** Subjects of one's own, instead of this package's. */
  readonly subjects?: readonly AnySubject[];
  /** Kernels of one's own: their subjects, each before those of gureum's kernels of its op, and no others. */
  readonly own?: readonly OwnKernel[];
  /** What becomes of an error that speaks of one of them: the place where it is written, say. */
  readonly ownError?: (own: OwnKernel, error: unknown) => unknown;
}

/** The CPU's ops in JavaScript and, where the host runs them, on WebAssembly. */
async function gatherCpu(): Promise<readonly AnySubject[]> {
  const [f64, fixed16] = [await openWasmCpu(), await openWasmCpu({ arithmetic: "fixed16" })];
  return [...cpuSubjects(), ...("refusal" in f64 || "refusal" in fixed16 ? [] : wasmSubjects(f64, fixed16))];
}

/** Kernels of one's own, op by op, each op's before gureum's. */
async function gatherOwn(gpu: Gpu, { own = [], ownError = (_, error) => error }: SubjectOptions): Promise<readonly AnySubject[]> {
  const mine: AnySubject[] = [];
  for (const kernel of own)
    mine.push(
      ...(await ownSubjects(gpu, kernel).catch((error: unknown) => {
        throw ownError(kernel, error);
      })),
    );
  const others = webgpuSubjects({ gpu });
  return [...new Set(own.map(({ op }) => op))].flatMap((op) => [...mine, ...others].filter((s) => s.op === op));
}

/** What an emulation of subgroups adds to the subjects of a device. @throws GureumError "usage" where it adds none */
export function emulatedSubjects(gpu: Gpu): readonly AnySubject[] {
  const before = new Set(webgpuSubjects({ gpu }).map(({ variant }) => variant));
  const added = webgpuSubjects({ gpu: withSubgroups(gpu) }).filter(
    ({ variant, kernels = [] }) => !before.has(variant) && !kernels.some((name) => notEmulated.includes(name)),
  );
  if (added.length === 0)
    throw new GureumError("usage", {
      where: "--backend emulated",
      what: "the device runs all kernels itself",
      remedy: "leave it out, or choose another --adapter",
    });
  return added.map((subject) => ({ ...subject, backend: "emulated" }));
}

/** The subjects that the options mean, and the device to close afterwards. */
export async function gather(options: SubjectOptions): Promise<{ subjects: readonly AnySubject[]; devices: DeviceIdentity[]; gpu?: Gpu }> {
  if (options.subjects) return { subjects: options.subjects, devices: [] };
  const { backend, robustness = true, adapter, own } = options;
  if (!own && backend === "cpu" && adapter !== undefined) throw adapterOfCpu("conformance", "run what is on WebGPU");
  const onCpu = !own && (backend === undefined || backend === "cpu");
  const cpu = onCpu ? await gatherCpu() : [];
  const devices = onCpu ? [cpuIdentity()] : [];
  if (onCpu && backend === "cpu") return { subjects: cpu, devices };
  const gpu = await openDevice({ robustness, ...(adapter === undefined ? {} : { adapter }) }).catch((error: unknown) => {
    if (!onCpu || adapter !== undefined || !(error instanceof GureumError) || error.code !== "no-adapter") throw error;
    return null;
  });
  if (!gpu) return { subjects: cpu, devices };
  try {
    const emulated = !own && backend === "emulated";
    const on = own ? await gatherOwn(gpu, options) : emulated ? emulatedSubjects(gpu) : webgpuSubjects({ gpu });
    const notes = [...(robustness ? [] : ["robustness off"]), ...(emulated ? ["subgroups of 32 emulated"] : [])];
    return { subjects: [...cpu, ...on], devices: [...devices, gpuIdentity(gpu, notes)], gpu };
  } catch (error) {
    closeDevice(gpu);
    throw error;
  }
}

/** The row of a subject, given its place among all that were gathered. */
export type Check = (index: number, options: CheckOptions) => Promise<Row>;

export const checkSubject = (subject: AnySubject, options: CheckOptions): Promise<Row> => checkKernel(kitOf(subject.op), subject, options);

/** The row of a subject that time did not reach. */
export function notRun(subject: AnySubject): Row {
  const { op, backend, variant, arithmetic } = subject;
  const kit = kitOf(op);
  const laws = lawNames(kit, subject);
  const nothing = { cases: 0, refused: 0, worst: null, worstError: 0, worstUlp: 0, medianHeadroom: null, failures: [], points: [] };
  return {
    op,
    backend,
    variant,
    arithmetic,
    ...nothing,
    leftOut: { boundaries: kit.boundaries.length * laws.length + (kit.reach?.length ?? 0), laws },
  };
}

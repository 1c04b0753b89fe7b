/** A user's own kernel or function, timed as this engine's are, for a row that can stand beside theirs. */

import { checkOptionsObject, checkText, wrongType } from "../core/arguments.ts";
import { GureumError } from "../core/errors.ts";
import { adoptDevice, closeDevice, type Gpu, openDevice } from "../gpu/device/device.ts";
import type { BindingKind, Kernel } from "../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, record } from "../gpu/pipeline/recorder.ts";
import { type GpuTimer, gpuCompetitor, makeGpuTimer } from "./gpu-timer.ts";
import { type Competitor, defaultPlan, hostCompetitor, measure, type Plan } from "./harness.ts";
import { type Contents, makeOperands, type Operands } from "./operands.ts";
import { type Counts, type Limits, makeRow, type Row } from "./results.ts";

/** A buffer of a kernel: either `data`, or `byteLength` bytes that the GPU makes up. */
export interface BenchBuffer {
  /** How it is bound. */
  readonly kind: BindingKind;
  /** What it holds; a buffer without it is made up. */
  readonly data?: ArrayBufferView<ArrayBuffer>;
  /** Its size where the GPU makes up its contents. */
  readonly byteLength?: number;
  /** What is made up: "f32" where it is not given. */
  readonly contents?: Contents;
  /** true: each copy has its own, so that no cache serves it. For weights. */
  readonly rotate?: boolean;
}

/** A compute shader with entry point `main`; buffer i is `@group(0) @binding(i)`. */
export interface WgslBench extends Counts {
  /** The row's. */
  readonly name: string;
  /** The shader. */
  readonly wgsl: string;
  /** By name, in the order of their bindings. */
  readonly buffers: Readonly<Record<string, BenchBuffer>>;
  /** Workgroups to run. */
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** Values of `override` declarations. */
  readonly overrides?: Readonly<Record<string, number | boolean>>;
}

/** Any function; each call is awaited. */
export interface FunctionBench extends Counts {
  /** The row's. */
  readonly name: string;
  /** What is timed. */
  readonly run: () => unknown;
}

/** WGSL or a function. */
export type OwnBench = WgslBench | FunctionBench;

/** Where and how to measure. */
export interface OwnOptions {
  /** Where WGSL runs: a device of the caller's, or the default one, opened and closed again. */
  readonly device?: GPUDevice | Gpu;
  /** From `measureLimits`: gives the row its share. */
  readonly limits?: Limits;
  /** Rounds and times; `defaultPlan` where absent. */
  readonly plan?: Plan;
}

/** Distinct bytes that rotating buffers add up to: twice the largest GPU cache there is. */
const ROTATED_BYTES = 2 ** 29;
const MAX_COPIES = 64;

async function wgslCompetitor(bench: WgslBench, timer: GpuTimer, operands: Operands): Promise<Competitor> {
  const { name, wgsl, buffers, workgroups, overrides = {} } = bench;
  const kernel: Kernel = {
    name,
    wgsl,
    bindings: Object.fromEntries(Object.entries(buffers).map(([label, { kind }]) => [label, kind])),
    params: {},
    overrides: Object.fromEntries(Object.entries(overrides).map(([key, value]) => [key, typeof value === "boolean" ? "bool" : "f32"])),
  };
  const size = ({ data, byteLength }: BenchBuffer): number => data?.byteLength ?? byteLength ?? 0;
  const bad = Object.entries(buffers).find(([, b]) => size(b) === 0 || (b.data && (b.byteLength !== undefined || b.rotate)));
  if (bad)
    throw new GureumError("usage", {
      where: `${name} > ${bad[0]}`,
      what: "buffer",
      expected: "data, or a byteLength above 0 (which may rotate)",
    });
  const rotating = Object.values(buffers)
    .filter(({ rotate }) => rotate)
    .reduce((sum, buffer) => sum + size(buffer), 0);
  const count = rotating === 0 ? 1 : Math.max(1, Math.min(MAX_COPIES, Math.ceil(ROTATED_BYTES / rotating)));
  const recorder = makeRecorder();
  for (let copy = 0; copy < count; copy++) {
    const bound = Object.entries(buffers).map(([label, { kind, data, byteLength, contents = "f32", rotate }]) => {
      if (data) return [label, operands.given(label, data, kind === "uniform" ? "uniform" : "storage")];
      return [label, rotate ? operands.own(label, byteLength!, contents) : operands.shared(label, byteLength!, contents)];
    });
    record(recorder, { kernel, buffers: Object.fromEntries(bound), params: {}, overrides, workgroups: () => workgroups, label: name });
  }
  await operands.fill();
  const prepared = await prepare(recorder, operands.memory);
  return gpuCompetitor(
    timer,
    name,
    prepared.map((dispatch) => [dispatch]),
    1,
  );
}

/** @throws GureumError "usage" for what is no bench */
function checkBench(bench: OwnBench): void {
  if (typeof bench !== "object" || bench === null)
    throw wrongType("bench", "the kernel", "{ name, wgsl, buffers, workgroups } or { name, run }", bench);
  checkText("bench", "name", bench.name);
  if ("run" in bench) {
    if (typeof bench.run !== "function") throw wrongType(bench.name, "run", "a function", bench.run);
    return;
  }
  checkText(bench.name, "wgsl", bench.wgsl);
  const { name, buffers, workgroups } = bench;
  if (typeof buffers !== "object" || buffers === null || Array.isArray(buffers))
    throw wrongType(name, "buffers", "buffers by their names", buffers);
  const counts = Array.isArray(workgroups) ? workgroups : [];
  if (counts.length !== 3 || !counts.every((n) => Number.isInteger(n) && n >= 1))
    throw wrongType(name, "workgroups", "[x, y, z], whole numbers from 1", workgroups);
}

/**
 * Several benches that take turns, so that they may be compared.
 * @throws GureumError "usage", "pipeline" with the compiler's words, "limit", "out-of-memory", "no-adapter", "device-lost", and what
 * the functions throw
 */
export async function benchKernels(benches: readonly OwnBench[], options: OwnOptions = {}): Promise<Row[]> {
  if (!Array.isArray(benches)) throw wrongType("bench", "the kernels", "a list", benches);
  for (const bench of benches) checkBench(bench);
  checkOptionsObject("bench", options, { device: true, limits: true, plan: true });
  const { device, limits = { operationsPerSecond: {} }, plan = defaultPlan } = options;
  const needsGpu = benches.some((bench) => "wgsl" in bench);
  const gpu = !needsGpu ? undefined : device === undefined ? await openDevice() : "capabilities" in device ? device : adoptDevice(device);
  const opened: Operands[] = [];
  let timer: GpuTimer | undefined;
  try {
    timer = gpu && (await makeGpuTimer(gpu));
    const competitors: Competitor[] = [];
    const rotated: number[] = [];
    for (const bench of benches) {
      if ("run" in bench) {
        competitors.push(hostCompetitor(bench.name, bench.run));
        rotated.push(0);
        continue;
      }
      const operands = makeOperands(timer!.gpu, 1, 0);
      opened.push(operands);
      competitors.push(await wgslCompetitor(bench, timer!, operands));
      rotated.push(operands.ownBytes());
    }
    const timings = await measure(competitors, plan);
    return timings.map((timing, i) => {
      const { bytes, operations, arithmetic, tokens } = benches[i]!;
      const counts: Counts = {
        ...(bytes === undefined ? {} : { bytes }),
        ...(operations === undefined ? {} : { operations }),
        ...(arithmetic === undefined ? {} : { arithmetic }),
        ...(tokens === undefined ? {} : { tokens }),
      };
      const rotatedBytes = rotated[i]!;
      return makeRow("own", timing, counts, limits, rotatedBytes > 0 ? { rotatedBytes } : {});
    });
  } finally {
    for (const operands of opened) operands.close();
    timer?.close();
    if (gpu && device === undefined) closeDevice(gpu);
  }
}

/** One bench alone. @throws as benchKernels */
export const benchKernel = async (bench: OwnBench, options?: OwnOptions): Promise<Row> => (await benchKernels([bench], options))[0]!;

/**
 * What every benchmark here gives: rows of one form, and the record around them that says where, when and how they were
 * made. Rates and shares are derived from a row's times and its two counts; only the counts and the times are facts.
 */

import { host } from "#host";
import type { DeviceIdentity } from "../conformance/certificate/identity.ts";
import { readBytes } from "../core/checkpoint/byte-source.ts";
import { GureumError, withinAsync } from "../core/errors.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import type { TimerName, Timing } from "./harness.ts";
import type { MeasuredModel } from "./identity.ts";
import { type Summary, summarize, trendOf } from "./statistics.ts";

/** Which measured ceiling a row's operations stand under. */
export const arithmetics = ["f32", "f16", "i8", "matrix f16", "matrix i8", "f64"] as const;
/** The name of an arithmetic ceiling. */
export type Arithmetic = (typeof arithmetics)[number];

/** What one call does: the bytes it must move at least once, the operations it must do (a multiply-add is two). */
export interface Counts {
  /** Bytes it must move at least once. */
  readonly bytes?: number;
  /** Operations it must do; a multiply-add is two. */
  readonly operations?: number;
  /** Which ceiling its operations stand under. */
  readonly arithmetic?: Arithmetic;
  /** Tokens it feeds or makes. */
  readonly tokens?: number;
}

/** What holding a kernel's results to their bounds gave. */
export interface RowCheck {
  /** Cases that were held to the bound. */
  readonly cases: number;
  /** Of the element that came nearest to its bound; null where the result there is no finite number. */
  readonly error: number | null;
  /** What the error may be. */
  readonly bound: number;
  /** Whether every result was within its bound. */
  readonly holds: boolean;
}

/** Which linears of a layer a row makes. */
export interface LayerShare {
  /** The kernel, or the program whose kernels share a layer's linears. */
  readonly way: string;
  /** Their names. */
  readonly linears: readonly string[];
  /** How often a layer makes the row's call: linears of one shape are one row. */
  readonly calls: number;
  /** Rows fed at once. */
  readonly T: number;
}

/** What was measured of one kind of work. */
export interface Row extends Summary, Counts {
  /** Unique in its file: what `compare` joins by. */
  readonly name: string;
  /** What was measured. */
  readonly group: "device" | "kernels" | "model" | "own";
  /** The clock of its samples. */
  readonly timer: TimerName;
  /** Calls in one sample. */
  readonly calls: number;
  /** Milliseconds of one call; median and quartiles are of these. */
  readonly samples: readonly number[];
  /** How much the times fell (below 0) or rose while they were taken, as a share of the median; absent where they were flat. */
  readonly trend?: number;
  /** Median CPU time of one call, all threads of the process together; for work on the host. */
  readonly cpuMs?: number;
  /** Threads that computed; for work on the host. */
  readonly threads?: number;
  /** Time that the measured limits allow, as a share of the median; absent without counts or limits. */
  readonly limitShare?: number;
  /** Which limit that is. */
  readonly limit?: "memory" | "arithmetic";
  /** Bytes of distinct operands that the calls rotate over: below a cache's size the row shows the cache. */
  readonly rotatedBytes?: number;
  /** What to know of it, in words. */
  readonly note?: string;
  /** What the laws say of the kernel's results, where they were asked. */
  readonly check?: RowCheck;
  /** Where it is a linear: its part of a layer. */
  readonly layer?: LayerShare;
}

/** Ceilings of a device, measured: bytes and operations per second. */
export interface Limits {
  /** Of reading, measured. */
  readonly readBytesPerSecond?: number;
  /** By arithmetic, measured. */
  readonly operationsPerSecond: Readonly<Partial<Record<Arithmetic, number>>>;
}

/** Where the time of a decoded token goes, milliseconds per token. */
export interface TokenTime {
  /** Positions in the cache when the token is decoded. */
  readonly depth: number;
  /** From one token to the next. */
  readonly wallMs: number;
  /** Sum of the compute passes; absent without timestamps. */
  readonly gpuMs?: number;
  /** JavaScript's share: encoding. */
  readonly encodeMs: number;
  /** JavaScript's share: submitting. */
  readonly submitMs: number;
  /** What is left of the wall time: waiting for the GPU, and JavaScript around it. */
  readonly waitMs: number;
  /** Calls of kernels. */
  readonly dispatches: number;
  /** Each kernel timed in passes of its own. */
  readonly kernels: readonly { readonly kernel: string; readonly ms: number; readonly dispatches: number }[];
}

/** What `--json` writes. */
export interface BenchResults {
  /** Which form this is. */
  readonly format: "gureum-bench-1";
  /** What was run. */
  readonly command: string;
  /** Of this package. */
  readonly version: string;
  /** Of the checkout that ran; "-dirty" behind it where files differed; null outside one. */
  readonly commit: string | null;
  /** ISO 8601, UTC. */
  readonly date: string;
  /** Where it ran. */
  readonly host: { readonly runtime: string; readonly platform: string; readonly cpu: string };
  /** On which device. */
  readonly device: DeviceIdentity;
  /** The model or shape that rows are of; absent for those of a device, and in results of old. */
  readonly model?: MeasuredModel;
  /** The device's ceilings. */
  readonly limits: Limits;
  /** In the order they were measured. */
  readonly rows: readonly Row[];
  /** Bytes of memory, by what they are of. */
  readonly facts?: Readonly<Record<string, number>>;
  /** Where the time of a decoded token goes, by depth. */
  readonly tokenTimes?: readonly TokenTime[];
  /** What could not run on this device, and why. */
  readonly skipped?: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Seconds that a row's counts take at the device's ceilings, and which one binds; undefined where it cannot be said.
 */
export function limitOf(
  { bytes, operations, arithmetic }: Counts,
  limits: Limits,
): { ms: number; limit: "memory" | "arithmetic" } | undefined {
  const rate = arithmetic && limits.operationsPerSecond[arithmetic];
  const memoryMs = bytes !== undefined && limits.readBytesPerSecond ? (bytes / limits.readBytesPerSecond) * 1e3 : undefined;
  const arithmeticMs = operations !== undefined && rate ? (operations / rate) * 1e3 : undefined;
  if (memoryMs === undefined && arithmeticMs === undefined) return undefined;
  return (memoryMs ?? 0) >= (arithmeticMs ?? 0) ? { ms: memoryMs!, limit: "memory" } : { ms: arithmeticMs!, limit: "arithmetic" };
}

/** A row from what was timed and what it did. */
export function makeRow(
  group: Row["group"],
  timing: Timing,
  counts: Counts,
  limits: Limits,
  more: Pick<Row, "rotatedBytes" | "threads" | "note" | "check" | "layer"> = {},
): Row {
  const summary = summarize(timing.samplesMs);
  const bound = limitOf(counts, limits);
  const trend = trendOf(timing.samplesMs);
  return {
    name: timing.name,
    group,
    timer: timing.timer,
    ...summary,
    calls: timing.calls,
    ...counts,
    ...(bound ? { limitShare: bound.ms / summary.median, limit: bound.limit } : {}),
    ...(timing.cpuSamplesMs ? { cpuMs: summarize(timing.cpuSamplesMs).median } : {}),
    ...(trend === undefined ? {} : { trend }),
    ...more,
    samples: timing.samplesMs,
  };
}

/** Of the median. */
export const bytesPerSecond = ({ bytes, median }: Row): number | undefined => bytes && (bytes / median) * 1e3;
/** Of the median. */
export const operationsPerSecond = ({ operations, median }: Row): number | undefined => operations && (operations / median) * 1e3;
/** Of the median. */
export const tokensPerSecond = ({ tokens, median }: Row): number | undefined => tokens && (tokens / median) * 1e3;

/** @throws GureumError "io", "disk-full", "not-found" */
export const writeText = (path: string, text: string): Promise<void> => host.files.writeFile(path, (sink) => sink(encodeUtf8(text)));

/** Writes results for `readResults` and `compare`. @throws GureumError "io", "disk-full", "not-found" */
export const writeResults = (path: string, results: BenchResults): Promise<void> =>
  writeText(path, `${JSON.stringify(results, null, 1)}\n`);

/** Far more than any results: what is larger is another file. */
const maxResultBytes = 256 * 2 ** 20;

/**
 * Results that `writeResults` wrote.
 * @throws GureumError "not-found", "io", "format" for anything that these benchmarks did not write
 */
export async function readResults(path: string): Promise<BenchResults> {
  const source = await host.files.fileSource(path);
  let bytes: Uint8Array;
  try {
    if (source.byteLength > maxResultBytes)
      throw new GureumError("format", { where: path, what: "too large for benchmark results", got: `${source.byteLength} bytes` });
    bytes = await readBytes(source, 0, source.byteLength);
  } finally {
    await source.close();
  }
  return withinAsync(path, async () => checkResults(parse(bytes)));
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeUtf8(bytes));
  } catch (error) {
    throw new GureumError("format", { what: "not JSON", got: (error as Error).message });
  }
}

/**
 * A number that something can have: 0, or within thirty decades of 1, so that no quotient leaves f64 and no axis lacks
 * an end.
 */
const isMeasured = (v: unknown): v is number => typeof v === "number" && (v === 0 || (v >= 1e-30 && v <= 1e30));

/** A device as earlier versions wrote it, name and driver in one line each, in today's form. */
const identityOf = (device: Record<string, unknown>): Record<string, unknown> =>
  "name" in device && "driver" in device
    ? {
        backend: device.backend,
        implementation: "",
        vendor: "",
        architecture: "",
        device: device.name,
        description: device.driver,
        toggles: device.toggles,
        features: device.features,
        notes: [],
      }
    : device;

/** Checks what `compare` and the page rely on. @throws GureumError "format" */
export function checkResults(value: unknown): BenchResults {
  const wrong = (what: string): GureumError => new GureumError("format", { what, expected: "a file that `gureum bench … --json` wrote" });
  const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);
  if (!isRecord(value) || value.format !== "gureum-bench-1") throw wrong("no benchmark results");
  const { rows, device, limits, host } = value;
  if (!Array.isArray(rows)) throw wrong("no rows");
  const isText = (v: unknown): v is string => typeof v === "string";
  if (!isRecord(device)) throw wrong("no device");
  const identity = identityOf(device);
  const { backend, implementation, vendor, architecture, device: name, description, toggles = "", features = [] } = identity;
  if (![backend, implementation, vendor, architecture, name, description, toggles].every(isText)) throw wrong("no device");
  if (!Array.isArray(features) || !features.every(isText)) throw wrong("no device features");
  if (!isRecord(host) || ![host.runtime, host.platform, host.cpu].every(isText)) throw wrong("no host");
  if (![value.command, value.version, value.date].every(isText) || !(value.commit === null || isText(value.commit)))
    throw wrong("no command, version, date and commit");
  if (!isRecord(limits) || !isRecord(limits.operationsPerSecond)) throw wrong("no limits");
  const ceilings = [limits.readBytesPerSecond ?? 1, ...Object.values(limits.operationsPerSecond)];
  if (!ceilings.every((v) => isMeasured(v) && v > 0)) throw wrong("a limit that is no number above 0");
  const { model } = value;
  if (model !== undefined && !(isRecord(model) && isText(model.name) && isText(model.identity)))
    throw wrong("no name and identity of the model");
  const names = new Set<string>();
  for (const [i, row] of rows.entries()) {
    if (!isRecord(row) || typeof row.name !== "string") throw wrong(`row ${i} has no name`);
    if (names.has(row.name)) throw wrong(`two rows are called ${JSON.stringify(row.name)}`);
    names.add(row.name);
    const { samples } = row;
    if (!Array.isArray(samples) || samples.length === 0 || !samples.every(isMeasured) || !(summarize(samples).median > 0))
      throw wrong(`${JSON.stringify(row.name)} has no samples above 0 ms`);
    const { median, lowerQuartile, upperQuartile } = summarize(samples);
    if (row.median !== median || row.lowerQuartile !== lowerQuartile || row.upperQuartile !== upperQuartile)
      throw wrong(`${JSON.stringify(row.name)} has a median that its samples do not have`);
    const oneOf = (key: string, allowed: readonly unknown[]): void => {
      if (!allowed.includes(row[key])) throw wrong(`${JSON.stringify(row.name)} has an unknown ${key}`);
    };
    oneOf("timer", ["gpu timestamps", "host clock"]);
    oneOf("group", ["device", "kernels", "model", "own"]);
    oneOf("limit", ["memory", "arithmetic", undefined]);
    oneOf("arithmetic", [...arithmetics, undefined]);
    if (!isMeasured(row.calls)) throw wrong(`${JSON.stringify(row.name)} has no number as calls`);
    if (row.trend !== undefined && !Number.isFinite(row.trend)) throw wrong(`${JSON.stringify(row.name)} has no number as trend`);
    const { layer } = row;
    if (
      layer !== undefined &&
      !(isRecord(layer) && isText(layer.way) && Array.isArray(layer.linears) && isMeasured(layer.calls) && isMeasured(layer.T))
    )
      throw wrong(`${JSON.stringify(row.name)} has no linears of a layer`);
    const { check } = row;
    if (
      check !== undefined &&
      !(isRecord(check) && isMeasured(check.cases) && (check.error === null || isMeasured(check.error)) && isMeasured(check.bound))
    )
      throw wrong(`${JSON.stringify(row.name)} has no numbers as check`);
    for (const key of ["bytes", "operations", "tokens", "limitShare", "cpuMs", "threads"])
      if (row[key] !== undefined && !isMeasured(row[key])) throw wrong(`${JSON.stringify(row.name)} has no number as ${key}`);
  }
  return { ...value, device: identity } as unknown as BenchResults;
}

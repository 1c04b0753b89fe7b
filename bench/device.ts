/**
 * What a device can do at most, measured: the ceilings of the roofline (bench/limit-kernels.ts), and the fixed costs of
 * talking to it. A share "of the limit" elsewhere is a share of these figures, never of a data sheet.
 */
import { GureumError } from "../core/errors.ts";
import { allocate, readRanges, usage } from "../gpu/device/buffer.ts";
import type { SubgroupMatrixConfig } from "../gpu/device/capabilities.ts";
import { type Gpu, guarded, waited } from "../gpu/device/device.ts";
import type { Kernel } from "../gpu/pipeline/kernel.ts";
import { makeRecorder, type PreparedDispatch, prepare, record, replay } from "../gpu/pipeline/recorder.ts";
import { type GpuTimer, gpuCompetitor } from "./gpu-timer.ts";
import { type Competitor, hostClock, measure, type OnMeasured, type Plan } from "./harness.ts";
import {
  dotI8,
  dotI8Operations,
  emptyDispatch,
  fmaF16,
  fmaF32,
  fmaOperations,
  matrixKernel,
  STREAM_LOADS,
  STREAM_THREADS,
  streamCopy,
  streamRead,
} from "./limit-kernels.ts";
import { makeOperands, type Operands } from "./operands.ts";
import { type Arithmetic, type Counts, type Limits, makeRow, type Row } from "./results.ts";

/** Distinct bytes to stream over, far more than any GPU's caches hold; less where the memory is not there. */
const STREAM_BYTES = [2 ** 31, 2 ** 29, 2 ** 27] as const;
/** A software device shares the CPU's caches and its memory. */
const STREAM_BYTES_SOFTWARE = [2 ** 27] as const;
const CHUNK = STREAM_LOADS * STREAM_THREADS * 16;

interface Candidate {
  readonly competitor: Competitor;
  readonly counts: Counts;
}

async function prepareOne(
  operands: Operands,
  kernel: Kernel,
  buffers: Record<string, GPUBuffer>,
  params: Record<string, number>,
  workgroups: number,
) {
  const recorder = makeRecorder();
  record(recorder, { kernel, buffers, params, workgroups: () => [workgroups, 1, 1] });
  return prepare(recorder, operands.memory);
}

/** Reading and copying, over buffers as large as the device binds, until `streamBytes` are covered. */
async function streamCandidates(timer: GpuTimer, operands: Operands, streamBytes: number): Promise<Candidate[]> {
  const { gpu } = timer;
  const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupsPerDimension } = gpu.capabilities.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupsPerDimension * CHUNK, streamBytes / 2);
  const byteLength = Math.floor(most / CHUNK) * CHUNK;
  const count = Math.max(2, Math.floor(streamBytes / byteLength));
  const buffers = Array.from({ length: count }, (_, i) => operands.own(`stream ${i}`, byteLength, "words"));
  const target = operands.shared("stream target", byteLength, "blank");
  await operands.fill();
  const reads: PreparedDispatch[][] = [];
  const copies: PreparedDispatch[][] = [];
  for (const data of buffers) {
    reads.push(await prepareOne(operands, streamRead, { data, out: target }, {}, byteLength / CHUNK));
    copies.push(await prepareOne(operands, streamCopy, { data, out: target }, {}, byteLength / CHUNK));
  }
  return [
    { competitor: gpuCompetitor(timer, "memory read", reads, 1), counts: { bytes: byteLength } },
    { competitor: gpuCompetitor(timer, "memory copy", copies, 1), counts: { bytes: 2 * byteLength } },
  ];
}

/** The candidates that fit the device's memory, largest first, and the operands they hold. */
async function openStreams(timer: GpuTimer): Promise<{ operands: Operands; candidates: Candidate[] }> {
  const sizes = timer.gpu.capabilities.software ? STREAM_BYTES_SOFTWARE : STREAM_BYTES;
  for (const [i, size] of sizes.entries()) {
    const operands = makeOperands(timer.gpu, 1, 0);
    try {
      return { operands, candidates: await streamCandidates(timer, operands, size) };
    } catch (error) {
      operands.close();
      if (!(error instanceof GureumError) || error.code !== "out-of-memory" || i + 1 === sizes.length) throw error;
    }
  }
  throw new GureumError("out-of-memory", { where: "bench device", what: "no memory to stream over" });
}

/** Of the device's matrix configurations with these components the one that does most at once. */
function largestConfig(gpu: Gpu, component: string, results: readonly string[]): SubgroupMatrixConfig | undefined {
  const fitting = gpu.capabilities.subgroupMatrixConfigs.filter(
    ({ componentType, resultComponentType }) => componentType === component && results.includes(resultComponentType),
  );
  return fitting.sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)[0];
}

async function arithmeticCandidates(timer: GpuTimer, operands: Operands): Promise<Candidate[]> {
  const { gpu } = timer;
  const { features, software, subgroupMaxSize } = gpu.capabilities;
  const workgroups = software ? 16 : 4096;
  const turns = software ? 8 : 64;
  const out = operands.shared("out", 4096, "blank");
  const wanted: { name: string; kernel: Kernel<"out", "turns">; operations: number; arithmetic: Arithmetic; turns: number }[] = [
    { name: "f32 multiply-add", kernel: fmaF32, operations: fmaOperations, arithmetic: "f32", turns },
    { name: "i8 dot product", kernel: dotI8, operations: dotI8Operations, arithmetic: "i8", turns },
  ];
  if (features.includes("shader-f16"))
    wanted.push({ name: "f16 multiply-add", kernel: fmaF16, operations: fmaOperations, arithmetic: "f16", turns });
  for (const [component, results, arithmetic] of [
    ["f16", ["f32", "f16"], "matrix f16"],
    ["i8", ["i32"], "matrix i8"],
  ] as const) {
    const config = largestConfig(gpu, component, results);
    if (!config) continue;
    const { kernel, operations } = matrixKernel(config, subgroupMaxSize);
    const { M, N, K, resultComponentType } = config;
    const name = `subgroup matrix ${component} to ${resultComponentType} ${M}x${N}x${K}`;
    wanted.push({ name, kernel, operations, arithmetic, turns: 256 });
  }
  const candidates: Candidate[] = [];
  for (const { name, kernel, operations, arithmetic, turns } of wanted) {
    const prepared = await prepareOne(operands, kernel as Kernel, { out }, { turns }, workgroups);
    const counts = { operations: operations * workgroups * turns, arithmetic };
    candidates.push({ competitor: gpuCompetitor(timer, name, [prepared], 1), counts });
  }
  return candidates;
}

/**
 * The ceilings of a device and the rows that show them.
 * @throws GureumError "limit", "out-of-memory", "device-lost", "pipeline"
 */
export async function measureLimits(timer: GpuTimer, plan: Plan, onMeasured?: OnMeasured): Promise<{ limits: Limits; rows: Row[] }> {
  const streams = await openStreams(timer);
  const operands = makeOperands(timer.gpu, 1, 0);
  try {
    const candidates = [...streams.candidates, ...(await arithmeticCandidates(timer, operands))];
    const timings = await measure(
      candidates.map(({ competitor }) => competitor),
      plan,
      hostClock,
      onMeasured,
    );
    const rows = timings.map((timing, i) => makeRow("device", timing, candidates[i]!.counts, { operationsPerSecond: {} }));
    const operationsPerSecond: Partial<Record<Arithmetic, number>> = {};
    for (const { arithmetic, operations, median } of rows) if (arithmetic) operationsPerSecond[arithmetic] = (operations! / median) * 1e3;
    const read = rows.find(({ name }) => name === "memory read")!;
    return { limits: { readBytesPerSecond: (read.bytes! / read.median) * 1e3, operationsPerSecond }, rows };
  } finally {
    operands.close();
    streams.operands.close();
  }
}

/** Calls of a loop on the host, timed by the host, with whatever must follow outside the clock. */
function costCompetitor(
  name: string,
  grainMs: number,
  maxCalls: number,
  body: (calls: number) => number,
  after: () => Promise<unknown>,
): Competitor {
  return {
    name,
    timer: "host clock",
    grainMs,
    maxCalls,
    async sample(calls) {
      const elapsed = body(calls);
      await after();
      return elapsed;
    },
  };
}

/** What it costs to ask: dispatch, encoding, submission, fence, read-back. */
export async function measureCosts(timer: GpuTimer, plan: Plan, onMeasured?: OnMeasured): Promise<Row[]> {
  const { gpu } = timer;
  const { device } = gpu;
  const operands = makeOperands(gpu, 1, 0);
  try {
    const out = operands.shared("out", 4096, "blank");
    const prepared = await prepareOne(operands, emptyDispatch, { out }, {}, 1);
    const fence = (): Promise<undefined> => waited(gpu, "fence", device.queue.onSubmittedWorkDone());
    let pending: GPUCommandBuffer[] = [];
    const encode = (calls: number): number => {
      const started = hostClock.now();
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let i = 0; i < calls; i++) replay(pass, prepared, 1, 0);
      pass.end();
      pending.push(encoder.finish());
      return hostClock.now() - started;
    };
    const submitPending = (): Promise<undefined> => {
      device.queue.submit(pending);
      pending = [];
      return fence();
    };
    const submit = (calls: number): number => {
      for (let i = 0; i < calls; i++) encode(1);
      const started = hostClock.now();
      for (const commands of pending) device.queue.submit([commands]);
      const elapsed = hostClock.now() - started;
      pending = [];
      return elapsed;
    };
    const small = allocate(operands.memory, "read back", 16, usage.STORAGE | usage.COPY_SRC);
    const awaited = (name: string, once: () => Promise<unknown>): Competitor => ({
      name,
      timer: "host clock",
      grainMs: 0,
      maxCalls: 1,
      async sample() {
        const started = hostClock.now();
        await once();
        return hostClock.now() - started;
      },
    });
    const competitors = [
      gpuCompetitor(timer, "dispatch (each after the last)", [prepared], 1),
      costCompetitor("encode a dispatch, JavaScript", 2, 4096, encode, submitPending),
      costCompetitor("submit, JavaScript", 1, 256, submit, fence),
      awaited("submit and fence", () => guarded(gpu, "fence", () => device.queue.submit([])).then(fence)),
      awaited("read back 16 bytes", () => readRanges(gpu, "read back", [{ buffer: small, byteOffset: 0, byteLength: 16 }])),
    ];
    const timings = await measure(competitors, plan, hostClock, onMeasured);
    return timings.map((timing) => makeRow("device", timing, {}, { operationsPerSecond: {} }));
  } finally {
    operands.close();
  }
}

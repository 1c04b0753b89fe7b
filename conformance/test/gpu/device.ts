/**
 * The device of the GPU tests, and one call of a kernel on it. Software Vulkan will do (`.ci/setup`). The device is
 * asked for no optional feature and no more than WebGPU's default limits: what passes here needs neither.
 */
import { freeAll, makeMemory, readRanges, upload, usage } from "../../../gpu/device/buffer.ts";
import { type Capabilities, f16Matrix, type LimitName } from "../../../gpu/device/capabilities.ts";
import { type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { type BufferArg, makeRecorder, prepare, type Recorder, submit } from "../../../gpu/pipeline/recorder.ts";
import { encodeStep } from "../../../gpu/wgsl/step.ts";
import { GUARD, makeOutput } from "../../compare.ts";

let opened: Promise<Gpu> | undefined;

/** One device for all tests of a process. */
export const testDevice = (): Promise<Gpu> => {
  opened ??= openDevice({ portable: true });
  return opened;
};

/** A kernel's call: its inputs as arrays, what it writes, and how it is recorded. */
export interface Call<Inputs extends string> {
  readonly inputs: Readonly<Record<Inputs, ArrayBufferView<ArrayBuffer>>>;
  /** Elements it writes; or, for an operation in place, what is there before. */
  readonly out: number | Float32Array;
  readonly T: number;
  readonly start?: number;
  record(recorder: Recorder, buffers: Readonly<Record<Inputs | "step" | "out", BufferArg>>): void;
}

/**
 * Runs a call. The output starts as poison between two guard bands, the upper one inside the binding, so that robust
 * access does not hide a write into it; the result is a view with its bands in `buffer`, as `strayWrite` wants it.
 */
export async function runCall<Inputs extends string>(gpu: Gpu, { inputs, out, T, start = 0, record }: Call<Inputs>): Promise<Float32Array> {
  const memory = makeMemory(gpu);
  try {
    const target = makeOutput(typeof out === "number" ? out : out.length);
    if (typeof out !== "number") target.set(out);
    const length = target.length;
    const whole = upload(memory, "out", new Uint8Array(target.buffer as ArrayBuffer));
    const step = upload(memory, "step", encodeStep({ T, start, sampled: 0 }), usage.UNIFORM | usage.COPY_DST);
    const buffers: Record<string, BufferArg> = { step, out: { buffer: whole, offset: GUARD * 4 } };
    for (const [name, data] of Object.entries<ArrayBufferView<ArrayBuffer>>(inputs)) buffers[name] = upload(memory, name, data);
    const recorder = makeRecorder();
    record(recorder, buffers as Record<Inputs | "step" | "out", BufferArg>);
    await submit(memory, await prepare(recorder, memory), T);
    const [bytes] = await readRanges(gpu, "out", [{ buffer: whole, byteOffset: 0, byteLength: (length + 2 * GUARD) * 4 }]);
    return new Float32Array(bytes!, GUARD * 4, length);
  } finally {
    freeAll(memory);
  }
}

/** A small buffer to bind where an input is absent. */
export const nothing: Float32Array<ArrayBuffer> = new Float32Array(4);

/** WebGPU's default limits. */
export const portableLimits: Readonly<Record<LimitName, number>> = {
  maxBufferSize: 268435456,
  maxStorageBufferBindingSize: 134217728,
  maxUniformBufferBindingSize: 65536,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65535,
  minStorageBufferOffsetAlignment: 256,
  minUniformBufferOffsetAlignment: 256,
};

/** A device without optional features, and with bindings as large as any desktop GPU offers. */
export const desktop: Capabilities = {
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  software: false,
  features: [],
  limits: { ...portableLimits, maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 32 },
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  subgroupMatrixConfigs: [],
};

/** The same with what prompts by matrices want, as NVIDIA's cards have it. */
export const withMatrices: Capabilities = {
  ...desktop,
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  limits: {
    ...desktop.limits,
    maxComputeWorkgroupStorageSize: 49152,
    maxComputeInvocationsPerWorkgroup: 512,
    maxComputeWorkgroupSizeX: 512,
  },
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  subgroupMatrixConfigs: [f16Matrix],
};

/**
 * Opens a WebGPU device: the host's own `navigator.gpu` (Deno, browsers), Dawn in Node, or one that the caller brings. What
 * goes wrong on it, now or later, ends in a GureumError.
 */
import "./webgpu-names.ts";
import { DRIVER, openDawn } from "#dawn";
import { GureumError } from "../../core/errors.ts";
import { type AdapterName, chooseAdapter, dawnAdapters, dawnChoice, hostAdapters } from "./adapters.ts";
import { type Capabilities, limitNames, readCapabilities, wantedFeatures } from "./capabilities.ts";
import type { DawnOptions } from "./dawn.ts";
import { selfCheck } from "./self-check.ts";

/** A kernel that the device accepted. */
export interface Compiled {
  /** To be set in a pass. */
  readonly pipeline: GPUComputePipeline;
  /** Of its one bind group. */
  readonly layout: GPUBindGroupLayout;
}

/** A device and what belongs to it. One per GPUDevice; models and sessions share it. */
export interface Gpu {
  /** WebGPU's own. */
  readonly device: GPUDevice;
  /** What it can do. */
  readonly capabilities: Capabilities;
  /** Kept because the implementation dies with it; undefined for a device that the caller brought. */
  readonly instance: GPU | undefined;
  /** Compiled kernels by source and constants. */
  readonly pipelines: Map<string, Promise<Compiled>>;
  /** Whether it passed its self-check; one that the caller brought has not, until `checkDevice`. */
  checked: boolean;
  /** Set once the device is lost. */
  lost: GPUDeviceLostInfo | undefined;
}

export interface DeviceOptions extends Pick<DawnOptions, "robustness"> {
  /** Dawn's: "null" validates shaders and pipelines without any GPU and computes nothing. Default: the platform's own. */
  readonly backend?: "null" | "vulkan" | "metal" | "d3d12";
  /** Which of several adapters: its name, a part of it that no other has, or its number in the list of `listAdapters`. */
  readonly adapter?: string | number;
  /** Neither optional features nor more than WebGPU's default limits: what every device must offer. */
  readonly portable?: boolean;
}

const hostGpu = (): GPU | undefined => (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;

/** The adapters to choose among, in the order of their numbers. @throws GureumError "no-adapter" where Dawn does not load */
export async function listAdapters(): Promise<AdapterName[]> {
  const host = hostGpu();
  return host ? (await hostAdapters(host)).map(({ name, backend }) => ({ name, backend })) : dawnAdapters();
}

/** Where to ask for an adapter, and how. */
async function instanceOf({ adapter, backend, robustness }: DeviceOptions): Promise<{ instance: GPU; wish: GPURequestAdapterOptions }> {
  const fast: GPURequestAdapterOptions = { powerPreference: "high-performance" };
  const host = backend ? undefined : hostGpu();
  const how = robustness === undefined ? {} : { robustness };
  if (host) {
    if (adapter === undefined) return { instance: host, wish: fast };
    const offered = await hostAdapters(host);
    return { instance: host, wish: offered[chooseAdapter(offered, adapter)]!.wish };
  }
  if (adapter === undefined) return { instance: await openDawn({ ...(backend ? { backend } : {}), ...how }), wish: fast };
  const all = (await dawnAdapters()).filter((one) => backend === undefined || one.backend === backend);
  const chosen = dawnChoice(all, chooseAdapter(all, adapter));
  return { instance: await openDawn({ backend: chosen.backend!, adapter: chosen.name, ...how }), wish: fast };
}

/**
 * @throws GureumError "no-adapter" where nothing answers, "device-lost" where the adapter gives no device, "divergence" where it computes
 * integers wrong, or in other subgroups than it says
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Gpu> {
  const { instance, wish } = await instanceOf(options);
  let adapter: GPUAdapter | null = null;
  let refused: unknown;
  try {
    adapter = await instance.requestAdapter(wish);
  } catch (error) {
    refused = error; // Dawn rejects where it finds no backend at all
  }
  if (!adapter)
    throw new GureumError(
      "no-adapter",
      {
        where: "webgpu",
        what: "no adapter answers",
        ...(refused instanceof Error ? { got: refused.message } : {}),
        remedy: DRIVER,
      },
      refused,
    );
  const requiredLimits: Record<string, number> = {};
  for (const name of limitNames) requiredLimits[name] = adapter.limits[name];
  const offered = new Set<string>(adapter.features);
  const requiredFeatures = wantedFeatures.filter((name) => offered.has(name)) as GPUFeatureName[];
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ label: "gureum", ...(options.portable ? {} : { requiredLimits, requiredFeatures }) });
  } catch (cause) {
    throw new GureumError(
      "device-lost",
      { where: "webgpu", what: "the adapter gives no device", got: cause instanceof Error ? cause.message : String(cause) },
      cause,
    );
  }
  const gpu = adopt(device, adapter.info, instance);
  if (options.backend === "null") return gpu; // which computes nothing
  try {
    await checkDevice(gpu);
  } catch (error) {
    closeDevice(gpu);
    throw error;
  }
  return gpu;
}

/**
 * Asks the device for known answers (self-check.ts), once.
 * @throws GureumError "divergence" where it computes them wrong, "device-lost" where it gives none
 */
export async function checkDevice(gpu: Gpu): Promise<void> {
  if (gpu.checked) return;
  await waited(gpu, "self-check", selfCheck(gpu.device, gpu.capabilities));
  gpu.checked = true;
}

/**
 * A device that the caller made, with the features and limits the caller asked for. Adopted again it is the same
 * record.
 */
export function adoptDevice(device: GPUDevice): Gpu {
  return adopt(device, device.adapterInfo, undefined);
}

/**
 * The record of each device: what waits for the device's loss keeps its record, and with it what is compiled, as long
 * as the device lasts.
 */
const records = new WeakMap<GPUDevice, Gpu>();

function adopt(device: GPUDevice, info: GPUAdapterInfo, instance: GPU | undefined): Gpu {
  const known = records.get(device);
  if (known) return known;
  const gpu: Gpu = {
    device,
    capabilities: readCapabilities(device, info),
    instance,
    pipelines: new Map(),
    checked: false,
    lost: undefined,
  };
  void device.lost.then((lost) => {
    gpu.lost = lost;
  });
  records.set(device, gpu);
  return gpu;
}

/** Destroys the device and everything made on it. */
export function closeDevice(gpu: Gpu): void {
  gpu.pipelines.clear();
  gpu.device.destroy();
}

/** @throws GureumError "device-lost" once the device is lost or destroyed */
export function checkAlive(gpu: Gpu, where: string): void {
  if (gpu.lost) throw lostError(gpu, where);
}

function lostError(gpu: Gpu, where: string, cause?: unknown): GureumError {
  const message = gpu.lost?.message || (cause instanceof Error ? cause.message : "");
  return new GureumError(
    "device-lost",
    {
      where,
      what: "the device was lost",
      ...(message ? { got: message } : {}),
      remedy: "load the model again; if it recurs, the driver was reset or a run took longer than the system allows",
    },
    cause,
  );
}

/**
 * Runs `body` (which must do all its GPU calls before it returns) inside error scopes and waits for their verdict.
 * @throws GureumError "out-of-memory", "device-lost", or "pipeline" for what WebGPU calls validation and internal errors
 */
export async function guarded<T>(gpu: Gpu, where: string, body: () => T): Promise<T> {
  const { settled, value } = scoped(gpu, where, body);
  const error = await settled;
  if (error) throw error;
  return value;
}

/** `guarded` for callers that cannot wait: the error, if there is one, comes later. */
export function scoped<T>(gpu: Gpu, where: string, body: () => T): { value: T; settled: Promise<GureumError | undefined> } {
  checkAlive(gpu, where);
  const { device } = gpu;
  const filters: readonly GPUErrorFilter[] = ["internal", "out-of-memory", "validation"];
  for (const filter of filters) device.pushErrorScope(filter);
  let popped: Promise<(GPUError | null)[]>;
  let value: T;
  try {
    value = body();
  } finally {
    popped = Promise.all(filters.map(() => device.popErrorScope()));
  }
  const settled = popped.then(
    ([validation, memory, internal]) => {
      if (gpu.lost) return lostError(gpu, where);
      if (memory)
        return new GureumError("out-of-memory", {
          where,
          what: "the device is out of memory",
          ...(memory.message ? { got: memory.message } : {}),
          remedy: "ask for a shorter context or an f16 cache, close other programs on the GPU, or use the CPU backend",
        });
      const other = validation ?? internal;
      return other ? new GureumError("pipeline", { where, what: "the device refuses a command", got: other.message }) : undefined;
    },
    (cause) => lostError(gpu, where, cause),
  );
  return { value, settled };
}

/** Waits for a GPU promise (a mapping, a queue) and names what ends it. @throws GureumError "device-lost" */
export async function waited<T>(gpu: Gpu, where: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (cause) {
    if (cause instanceof GureumError) throw cause;
    throw lostError(gpu, where, cause);
  }
}

/** Which backend runs a checkpoint, as the options and the machine have it. */
import { host } from "#host";
import { checkCallback, type OptionNames, wrongType } from "./core/arguments.ts";
import type { DownloadProgress } from "./core/checkpoint/byte-source.ts";
import type { LlamaConfig } from "./core/config.ts";
import { GureumError } from "./core/errors.ts";
import type { Model } from "./core/model/engine.ts";
import type { LlamaWeightRefs } from "./core/model/weights.ts";
import { adapterOfCpu } from "./gpu/device/adapters.ts";
import { adoptDevice, closeDevice, type Gpu, openDevice } from "./gpu/device/device.ts";
import { makeProfiler, type Profile } from "./gpu/device/profile.ts";
import { loadExactGpuModel } from "./gpu/model/exact.ts";
import { loadGpuModel } from "./gpu/model/model.ts";
import { checkKernels, type VariantOptions } from "./gpu/programs/plan.ts";
import { loadCpuModel } from "./wasm/model.ts";

/**
 * `arithmetic`, `cache` and `kernels` choose among WebGPU's variants: where one is given, "auto" means "webgpu"; `ops` and `threads` say how
 * the CPU computes: where one is given, "auto" means "cpu".
 */
export interface BackendOptions extends VariantOptions {
  /** "auto", the default: WebGPU where a hardware adapter answers, the CPU reference otherwise. */
  readonly backend?: "auto" | "cpu" | "webgpu";
  /** Time and count the GPU's work, for `takeStats`. */
  readonly stats?: boolean;
  /** A device of the caller's for "webgpu" or "auto"; it stays the caller's to destroy. */
  readonly device?: GPUDevice;
  /**
   * Which of several adapters, by name, by a part of it that no other has, or by its number (`gureum device --all` lists them): where one is
   * given, "auto" means "webgpu".
   */
  readonly adapter?: string | number;
  /**
   * On WebGPU: every index that a kernel computes is held within its buffer by the implementation (docs/security.md), for folders from
   * strangers; at about half the speed. Off by default, and always on where the host cannot switch it off; the CPU needs none.
   */
  readonly robustness?: boolean;
  /** On the CPU: WebAssembly where the host runs it ("auto", the default), or the ops of core/ops in JavaScript. The bits are the same. */
  readonly ops?: "auto" | "wasm" | "javascript";
  /** On the CPU: threads in all; default: physical cores. The bits are the same for any number. */
  readonly threads?: number;
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
  /** Of a model by name: what the download has brought so far. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

export const backendOptionNames: OptionNames<BackendOptions> = {
  backend: true,
  arithmetic: true,
  cache: true,
  kernels: true,
  stats: true,
  device: true,
  adapter: true,
  robustness: true,
  ops: true,
  threads: true,
  onProgress: true,
  onDownload: true,
};

/**
 * GPU work: milliseconds to encode and submit it and, where the device has timestamps, to run it; dispatches, passes,
 * submissions.
 */
export type GpuStats = Omit<Profile, "kernels">;

/** A model, why it is on this backend, and its counters. */
export interface Made {
  readonly model: Model;
  readonly reason: string;
  readonly takeStats: () => Promise<GpuStats | null>;
  /** Frees the model, and the device that was opened for it. */
  readonly dispose: () => void;
}

/**
 * A model on the backend that the options ask for, and why it was taken. Reads the weights.
 * @throws GureumError as `loadModel` from the weights on
 */
export async function makeModel(
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  {
    backend: wanted = "auto",
    onProgress,
    device,
    stats = false,
    onDownload: _onDownload,
    adapter,
    robustness = false,
    ops,
    threads,
    ...variants
  }: BackendOptions,
): Promise<Made> {
  const { arithmetic = "auto", cache, kernels = {} } = variants;
  const cpu = async (reason: string): Promise<Made> => {
    const takeStats = async (): Promise<null> => null;
    const made = (model: Model, about: string): Made => ({ model, reason: about, takeStats, dispose: () => model.dispose() });
    const { model, about } = await loadCpuModel(config, refs, {
      host: host.threads(),
      ...(arithmetic === "fixed16" || arithmetic === "exact" ? { arithmetic } : {}),
      ...(ops ? { ops } : {}),
      ...(threads === undefined ? {} : { threads }),
      ...(onProgress ? { onProgress } : {}),
    });
    return made(model, `${reason}; ${about}`);
  };
  if (wanted !== "auto" && wanted !== "cpu" && wanted !== "webgpu") throw wrongType("load", "backend", '"auto", "cpu" or "webgpu"', wanted);
  checkCallback("load", "onProgress", onProgress);
  if (cache !== undefined && cache !== "f32" && cache !== "f16") throw wrongType("load", "cache", '"f32" or "f16"', cache);
  if (threads !== undefined && typeof threads !== "number") throw wrongType("load", "threads", "a number", threads);
  const { createBuffer, features, limits, queue, lost } = (device ?? {}) as Partial<GPUDevice>;
  if (device !== undefined && !(typeof createBuffer === "function" && features && limits && queue && lost))
    throw wrongType("load", "device", "a GPUDevice", device);
  if (ops !== undefined && ops !== "auto" && ops !== "wasm" && ops !== "javascript")
    throw wrongType("load", "ops", '"auto", "wasm" or "javascript"', ops);
  if (adapter !== undefined && typeof adapter !== "string" && typeof adapter !== "number")
    throw wrongType("load", "adapter", "a name or a number", adapter);
  if (typeof robustness !== "boolean") throw wrongType("load", "robustness", "true or false", robustness);
  if (robustness && device)
    throw new GureumError("usage", {
      where: "load",
      what: "robustness is decided where a device is opened",
      remedy: "open the device with bounds checks on, and leave robustness out",
    });
  if (robustness && wanted === "cpu")
    throw new GureumError("usage", {
      where: "cpu",
      what: "robustness is WebGPU's: what computes on the CPU is always checked",
      remedy: "leave it out, or use WebGPU",
    });
  checkKernels(kernels);
  // `exact` is the same everywhere: it chooses no backend.
  const choosesVariant = (arithmetic !== "auto" && arithmetic !== "exact") || cache !== undefined || Object.keys(kernels).length > 0;
  if (arithmetic === "exact" && (cache !== undefined || Object.keys(kernels).length > 0))
    throw new GureumError("usage", {
      where: "arithmetic exact",
      what: "has a cache and kernels of its own, whose choice cannot show in the result",
      remedy: "leave cache and kernels out",
    });
  const choosesCpu = (ops !== undefined && ops !== "auto") || threads !== undefined;
  if (adapter !== undefined && device)
    throw new GureumError("usage", { where: "webgpu", what: "adapter and device both say where to compute", remedy: "give one of them" });
  if (adapter !== undefined && wanted === "cpu") throw adapterOfCpu("cpu", "use WebGPU");
  const backend = wanted !== "auto" ? wanted : choosesVariant || adapter !== undefined ? "webgpu" : choosesCpu ? "cpu" : "auto";
  if (backend === "webgpu" && choosesCpu)
    throw new GureumError("usage", {
      where: "webgpu",
      what: "ops and threads choose how the CPU computes",
      remedy: "leave them out, or use the CPU",
    });
  if (backend === "cpu" && choosesVariant && (arithmetic !== "fixed16" || cache !== undefined || Object.keys(kernels).length > 0))
    throw new GureumError("usage", {
      where: "cpu",
      what: "arithmetic (but exact and fixed16), cache and kernels choose among variants of the WebGPU backend",
      remedy: "leave them out, or use WebGPU",
    });
  if (backend === "cpu") return cpu("asked for");
  let gpu: Gpu;
  try {
    gpu = device ? adoptDevice(device) : await openDevice({ robustness, ...(adapter === undefined ? {} : { adapter }) });
  } catch (error) {
    if (backend === "auto" && error instanceof GureumError) return cpu(`no WebGPU: ${error.details.what}`);
    throw error;
  }
  const { software, vendor, architecture, description } = gpu.capabilities;
  const name = description || [vendor, architecture].filter((word) => word !== "").join(" ");
  if (backend === "auto" && software && !device) {
    closeDevice(gpu);
    return cpu(`the only WebGPU adapter is software: ${name}`);
  }
  try {
    const profiler = stats ? makeProfiler(gpu, () => performance.now()) : undefined;
    const watched = profiler?.gpu ?? gpu;
    const progress = onProgress ? { onProgress } : {};
    const model =
      arithmetic === "exact"
        ? await loadExactGpuModel(watched, config, refs, progress)
        : await loadGpuModel(watched, config, refs, { ...variants, ...progress });
    await profiler?.take();
    profiler?.watch("passes");
    const takeStats = async (): Promise<GpuStats | null> => {
      if (!profiler) return null;
      const { kernels: _, ...counted } = await profiler.take();
      return counted;
    };
    const dispose = (): void => {
      model.dispose();
      profiler?.close();
      if (!device) closeDevice(gpu);
    };
    return { model, reason: robustness ? `${name}, with bounds checks` : name, takeStats, dispose };
  } catch (error) {
    if (!device) closeDevice(gpu);
    throw error;
  }
}

/** Which device a result is of: one record for certificates and benchmarks. */
import { dawn } from "#dawn";
import type { Gpu } from "../../gpu/device/device.ts";
import type { Fingerprint } from "../device/arithmetic.ts";
import { runtime, scriptEngine } from "./environment.ts";

/** Where a backend's numbers come from. */
export interface DeviceIdentity {
  /** "cpu" or "webgpu". */
  readonly backend: string;
  /** "Dawn", "wgpu (Deno 2.9.6)", "WebGPU of Chrome 142.0.0.0", "JavaScript (V8 …)" */
  readonly implementation: string;
  /** As the adapter says it. */
  readonly vendor: string;
  /** As the adapter says it. */
  readonly architecture: string;
  /** As the adapter says it. */
  readonly device: string;
  /** The driver's own words. */
  readonly description: string;
  /** Options that the implementation was started with; empty for the host's own. */
  readonly toggles?: string;
  /** WebGPU's optional features that it offers. */
  readonly features?: readonly string[];
  /** What changes arithmetic or bounds checks. */
  readonly notes: readonly string[];
  /** How it computes, as measured; absent for the CPU. */
  readonly arithmetic?: Fingerprint;
}

/** Who implements WebGPU for a device. */
function implementationOf({ instance }: Pick<Gpu, "instance">): string {
  if (instance === undefined) return `a device of the caller's (${runtime()})`;
  if ([...dawn.instances.values()].includes(instance)) return "Dawn";
  return runtime().startsWith("Deno") ? `wgpu (${runtime()})` : `WebGPU of ${runtime()}`;
}

export function gpuIdentity(gpu: Gpu, notes: readonly string[] = []): DeviceIdentity {
  const { vendor, architecture, device, description, features } = gpu.capabilities;
  const toggles = [...dawn.instances].find(([, instance]) => instance === gpu.instance)?.[0] ?? "";
  return { backend: "webgpu", implementation: implementationOf(gpu), vendor, architecture, device, description, toggles, features, notes };
}

/** @param cpu the CPU's name, where the host says it */
export const cpuIdentity = (cpu = ""): DeviceIdentity => ({
  backend: "cpu",
  implementation: `JavaScript (${scriptEngine()})`,
  vendor: "",
  architecture: "",
  device: cpu,
  description: "core/ops, sums in f64",
  notes: [],
});

/** "nvidia hopper …": one line for tables. */
export const deviceName = ({ vendor, architecture, device }: DeviceIdentity): string =>
  [vendor, architecture, device].filter((word) => word !== "").join(" ") || "unnamed";

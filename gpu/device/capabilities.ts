/**
 * What a device can do, as it says itself: a plain record to print, to attach to a bug report and to choose kernels by.
 */
import type { Kernel } from "../pipeline/kernel.ts";

/** A matrix shape of the feature chromium-experimental-subgroup-matrix. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Limits that this engine asks for and looks at. */
export const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const;
export type LimitName = (typeof limitNames)[number];

export interface Capabilities {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** A software adapter: correct, and slower than the CPU reference's own loops would suggest. */
  readonly software: boolean;
  /** Sorted. Features of the device, not of the adapter: those that kernels may use. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<LimitName, number>>;
  /** 0 where the device has no subgroups. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
}

/** Features that some kernel can use, asked for where the adapter offers them. */
export const wantedFeatures = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
] as const;

/** What @webgpu/types does not know yet of GPUAdapterInfo. */
interface MoreInfo {
  readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
}

export function readCapabilities(device: GPUDevice, info: GPUAdapterInfo): Capabilities {
  const features = [...device.features].sort();
  const limits = Object.fromEntries(limitNames.map((name) => [name, device.limits[name]])) as Record<LimitName, number>;
  const has = (name: string): boolean => features.includes(name);
  const named = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software: info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|basic render/i.test(named),
    features,
    limits,
    subgroupMinSize: has("subgroups") ? (info.subgroupMinSize ?? 0) : 0,
    subgroupMaxSize: has("subgroups") ? (info.subgroupMaxSize ?? 0) : 0,
    subgroupMatrixConfigs: has("chromium-experimental-subgroup-matrix")
      ? [...((info as MoreInfo).subgroupMatrixConfigs ?? [])].map(({ componentType, resultComponentType, M, N, K }) => ({
          componentType,
          resultComponentType,
          M,
          N,
          K,
        }))
      : [],
  };
}

/** Why a kernel cannot run on this device, in words; undefined where it can. */
export function missingFor(kernel: Pick<Kernel, "features" | "limits" | "subgroupSize">, capabilities: Capabilities): string | undefined {
  for (const feature of kernel.features ?? []) if (!capabilities.features.includes(feature)) return `feature ${feature}`;
  for (const [name, needed] of Object.entries(kernel.limits ?? {})) {
    const offered = capabilities.limits[name as LimitName];
    if (offered < needed) return `${name} ${needed} (the device has ${offered})`;
  }
  const { subgroupSize } = kernel;
  const { subgroupMinSize: least, subgroupMaxSize: most } = capabilities;
  if (subgroupSize !== undefined && (least !== subgroupSize || most !== subgroupSize))
    return `feature subgroups of ${subgroupSize} (the device has ${least} to ${most})`;
  return undefined;
}

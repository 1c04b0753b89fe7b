/**
 * What a device can do, as it says itself: a plain record to print, to attach to a bug report and to choose kernels by.
 */
import type { ErrorCode } from "../../core/errors.ts";

/** A matrix shape of the feature chromium-experimental-subgroup-matrix. */
export interface SubgroupMatrixConfig {
  /** "f16", "i8", … */
  readonly componentType: string;
  /** "f32", "i32", … */
  readonly resultComponentType: string;
  /** Rows of the left one. */
  readonly M: number;
  /** Columns of the right one. */
  readonly N: number;
  /** What they share. */
  readonly K: number;
}

/** f16 operands, f32 sums; and i8 operands, i32 sums. */
export const f16Matrix: SubgroupMatrixConfig = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
export const i8Matrix: SubgroupMatrixConfig = { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 };

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
/** A limit that this engine asks for or looks at. */
export type LimitName = (typeof limitNames)[number];

/** A device as it describes itself. */
export interface Capabilities {
  /** As the adapter says it. */
  readonly vendor: string;
  /** As the adapter says it. */
  readonly architecture: string;
  /** As the adapter says it. */
  readonly device: string;
  /** As the adapter says it. */
  readonly description: string;
  /** A software adapter: correct, and slower than the CPU reference's own loops would suggest. */
  readonly software: boolean;
  /** Sorted. Features of the device, not of the adapter: those that kernels may use. */
  readonly features: readonly string[];
  /** Those that this engine looks at. */
  readonly limits: Readonly<Record<LimitName, number>>;
  /** 0 where the device has no subgroups. */
  readonly subgroupMinSize: number;
  /** 0 where the device has no subgroups. */
  readonly subgroupMaxSize: number;
  /** Shapes of matrices that subgroups multiply. */
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
  const features: readonly string[] = [...device.features].sort();
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

/** What a kernel needs of a device beyond WebGPU's defaults. */
export interface Needs {
  /** Optional device features it needs; none for a portable kernel. */
  readonly features?: readonly string[];
  /** Limits it needs where they exceed WebGPU's defaults. */
  readonly limits?: Readonly<Partial<Record<LimitName, number>>>;
  /** The size that all subgroups of the device must have. */
  readonly subgroupSize?: number;
  /** Shapes of subgroup matrices that it multiplies. */
  readonly matrices?: readonly SubgroupMatrixConfig[];
}

/** Why something cannot run, in words, and what kind of want that is. */
export interface Refusal {
  readonly code: ErrorCode & ("missing-feature" | "limit" | "unsupported");
  readonly reason: string;
}

/** What the device lacks of `needs`, as a phrase that follows "needs"; undefined where it lacks nothing. */
export function missingFor(
  { features = [], limits = {}, subgroupSize, matrices = [] }: Needs,
  capabilities: Capabilities,
): Refusal | undefined {
  for (const feature of features)
    if (!capabilities.features.includes(feature)) return { code: "missing-feature", reason: `feature ${feature}` };
  for (const [name, needed] of Object.entries(limits)) {
    const offered = capabilities.limits[name as LimitName];
    if (offered < needed) return { code: "limit", reason: `${name} ${needed} (the device has ${offered})` };
  }
  const { subgroupMinSize: least, subgroupMaxSize: most } = capabilities;
  if (subgroupSize !== undefined && (least !== subgroupSize || most !== subgroupSize))
    return { code: "missing-feature", reason: `feature subgroups of ${subgroupSize} (the device has ${least} to ${most})` };
  for (const { componentType, resultComponentType, M, N, K } of matrices) {
    const same = (c: SubgroupMatrixConfig): boolean =>
      c.componentType === componentType && c.resultComponentType === resultComponentType && c.M === M && c.N === N && c.K === K;
    if (!capabilities.subgroupMatrixConfigs.some(same))
      return { code: "missing-feature", reason: `${componentType} matrices of ${M} x ${N} x ${K} with ${resultComponentType} sums` };
  }
  return undefined;
}

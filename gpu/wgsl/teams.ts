/** How the workgroups of the fused decode kernels are cut: lanes along K in teams, by what a device allows. */
import type { Capabilities } from "../device/capabilities.ts";

/** What a device allows a workgroup. */
export type WorkgroupLimits = Readonly<{ invocations: number; bytes: number }>;

export const workgroupLimits = ({ limits }: Capabilities): WorkgroupLimits => ({
  invocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
  bytes: limits.maxComputeWorkgroupStorageSize,
});

/** Lanes along K that a workgroup uses at most; a device's limits cut them down. */
export const MOST_LANES = 512;

/**
 * Workgroups that one NVIDIA H100 or H200 runs at once, four on each of its 132 multiprocessors: one round of equal
 * ones is fastest there.
 */
export const ONE_ROUND = 528;

/** Lanes for so many units of K: a multiple of 32, at most `most`, as few as make the fewest turns. */
export function teamOf(units: number, most: number): number {
  const lanes = Math.ceil(units / 32) * 32;
  const turns = Math.ceil(lanes / most);
  return Math.ceil(lanes / turns / 32) * 32;
}

/** The most lanes along K where two teams, or two rows of partial sums, share a workgroup. */
export const lanesOf = ({ invocations, bytes }: WorkgroupLimits): number => Math.min(MOST_LANES, invocations / 2, bytes / 128);

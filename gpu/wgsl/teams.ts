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

/** Multiprocessors of the cards it was measured on, one NVIDIA H100 and one H200. */
export const MULTIPROCESSORS = 132;
/** Of each: bytes of workgroup memory that Vulkan gives out there, and invocations that the registers of such a kernel leave room for. */
export const HELD: WorkgroupLimits = { bytes: 48 * 1024, invocations: 768 };

/** Workgroups of so many lanes and bytes that such a card runs at once. */
export const heldAtOnce = (lanes: number, bytes: number): number =>
  MULTIPROCESSORS * Math.max(1, Math.min(Math.floor(HELD.bytes / bytes), Math.floor(HELD.invocations / lanes)));

/** Workgroups of a kernel of 128 invocations and 12 KiB that run at once there. */
export const ONE_ROUND: number = heldAtOnce(128, 12 * 1024);

/** Lanes for so many units of K: a multiple of 32, at most `most`, as few as make the fewest turns. */
export function teamOf(units: number, most: number): number {
  const lanes = Math.ceil(units / 32) * 32;
  const turns = Math.ceil(lanes / most);
  return Math.ceil(lanes / turns / 32) * 32;
}

/** The most lanes along K where two teams, or two rows of partial sums, share a workgroup. */
export const lanesOf = ({ invocations, bytes }: WorkgroupLimits): number => Math.min(MOST_LANES, invocations / 2, bytes / 128);

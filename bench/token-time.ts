/** From what was recorded of some tokens to what one of them takes: parts that add up to the whole, per token. */
import type { Profile } from "../gpu/device/profile.ts";
import type { TokenTime } from "./results.ts";

/** What was recorded of a run of tokens. */
export type Recorded = Profile & { readonly wallMs: number };

/** What was spent beyond `less`; never below 0, since both are measured. */
export function lessProfile(all: Recorded, less: Recorded): Recorded {
  const beyond = (a: number, b: number): number => Math.max(0, a - b);
  const kernels = new Map(
    [...all.kernels].flatMap(([kernel, sum]) => {
      const { ms, dispatches } = less.kernels.get(kernel) ?? { ms: 0, dispatches: 0 };
      return sum.dispatches > dispatches ? [[kernel, { ms: beyond(sum.ms, ms), dispatches: sum.dispatches - dispatches }] as const] : [];
    }),
  );
  return {
    ...all,
    wallMs: beyond(all.wallMs, less.wallMs),
    encodeMs: beyond(all.encodeMs, less.encodeMs),
    submitMs: beyond(all.submitMs, less.submitMs),
    gpuMs: all.gpuMs === undefined || less.gpuMs === undefined ? undefined : beyond(all.gpuMs, less.gpuMs),
    dispatches: all.dispatches - less.dispatches,
    kernels,
  };
}

/**
 * One token of `count`: encode + submit + wait = wall. `kernels`: of a second run, each dispatch in a pass of its own;
 * none without timestamps.
 */
export function tokenTimeOf(depth: number, count: number, recorded: Recorded, kernels: Profile["kernels"]): TokenTime {
  const { wallMs, gpuMs, dispatches } = recorded;
  // Differences of separate runs: on a busy machine the host's parts may come out longer than the whole.
  const encodeMs = Math.min(recorded.encodeMs, wallMs);
  const submitMs = Math.min(recorded.submitMs, wallMs - encodeMs);
  return {
    depth,
    wallMs: wallMs / count,
    ...(gpuMs === undefined ? {} : { gpuMs: gpuMs / count }),
    encodeMs: encodeMs / count,
    submitMs: submitMs / count,
    waitMs: (wallMs - encodeMs - submitMs) / count,
    dispatches: dispatches / count,
    kernels: [...kernels]
      .map(([kernel, sum]) => ({ kernel, ms: sum.ms / count, dispatches: sum.dispatches / count }))
      .sort((a, b) => b.ms - a.ms),
  };
}

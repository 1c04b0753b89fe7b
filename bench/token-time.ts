/** From what was recorded of some tokens to what one of them takes: parts of one and the same run, so that they add up. */
import type { Profile } from "../gpu/device/profile.ts";
import type { TokenTime } from "./results.ts";

/** What was recorded of a run of tokens. */
export type Recorded = Profile & { readonly wallMs: number };

/** Runs of `count` + 1 tokens, the first of which is drawn from logits that are there, and one of that first token alone. */
interface Runs<T> {
  readonly all: T;
  readonly first: T;
}

/** The run whose wall time is the median. Times are never differences of two runs: a pause in either would be taken for work. */
function middle(runs: readonly Recorded[]): Recorded {
  const sorted = [...runs].sort((a, b) => a.wallMs - b.wallMs);
  return sorted[(sorted.length - 1) >> 1]!;
}

/**
 * One token of `count`. Its times are those of the run of median wall time, the start and the end of that run included:
 * encode + submit + wait = wall, and gpu is at most wall. Counts, which do not vary, leave the first token out.
 * `kernels`: of runs with each dispatch in a pass of its own, by the mean of a kernel's dispatches; none without timestamps.
 */
export function tokenTimeOf(
  depth: number,
  count: number,
  { all, first }: { readonly all: readonly Recorded[]; readonly first: Recorded },
  kernels?: Runs<Profile["kernels"]>,
): TokenTime {
  const { wallMs, gpuMs, encodeMs, submitMs, dispatches } = middle(all);
  const alone = [...(kernels?.all ?? [])].map(([kernel, sum]) => {
    const perToken = (sum.dispatches - (kernels!.first.get(kernel)?.dispatches ?? 0)) / count;
    return { kernel, ms: (sum.ms / sum.dispatches) * perToken, dispatches: perToken };
  });
  return {
    depth,
    wallMs: wallMs / count,
    ...(gpuMs === undefined ? {} : { gpuMs: gpuMs / count }),
    encodeMs: encodeMs / count,
    submitMs: submitMs / count,
    waitMs: (wallMs - encodeMs - submitMs) / count,
    dispatches: (dispatches - first.dispatches) / count,
    kernels: alone.filter((kernel) => kernel.dispatches > 0).sort((a, b) => b.ms - a.ms),
  };
}

/**
 * AWQ's clipping: a group's range is cut where the finer grid that is won outweighs the weights that are cut off. The
 * loss of a group is the squared error of its own part of the output, d H_g dᵀ with d = w − ŵ and H_g the group's block
 * of the inputs' second moments. Source: AutoAWQ 0.2.9 `awq/quantize/quantizer.py` (_compute_best_clip: the largest
 * magnitude cut to 1, 0.95 … 0.55 of itself).
 */
import type { CpuOps } from "../../model/ops.ts";
import { type Gram, outputErrors } from "./gram.ts";
import { type Ranges, rangesOf, roundToGrid, scaleFor, zeroOf } from "./grid.ts";
import type { WeightMatrix } from "./scale-search.ts";

export interface ClipOptions {
  readonly bits: number;
  readonly groupSize: number;
  /** "symmetric": one magnitude for both ends, as AutoAWQ has it. "asymmetric": then each end on its own. */
  readonly ends: "symmetric" | "asymmetric";
}

/** AutoAWQ's shares of the range, the whole one first. */
export const clipShares: readonly number[] = Array.from({ length: 10 }, (_, i) => 1 - i / 20);
/** How often each end is tried again, given the other. */
const ROUNDS = 2;

/** The range of each group of W [N, K] with the least loss; never worse than the whole range. */
export function searchClip(ops: CpuOps, { W, N, K }: WeightMatrix, { H }: Gram, { bits, groupSize: G, ends }: ClipOptions): Ranges {
  const groups = K / G;
  const whole = rangesOf(W, N, K, G);
  const chosen: Ranges = { low: whole.low.slice(), high: whole.high.slice() };
  const top = 2 ** bits - 1;
  const part = new Float32Array(N * G);
  /** ŵ − w of the group. */
  const delta = new Float32Array(N * G);
  const block = new Float32Array(G * G);
  for (let g = 0; g < groups; g++) {
    // The group's columns of W and its block of H, by themselves.
    for (let n = 0; n < N; n++) part.set(W.subarray(n * K + g * G, n * K + (g + 1) * G), n * G);
    for (let i = 0; i < G; i++) block.set(H.subarray((g * G + i) * K + g * G, (g * G + i) * K + (g + 1) * G), i * G);
    const min = Float64Array.from({ length: N }, (_, n) => whole.low[n * groups + g]!);
    const max = Float64Array.from({ length: N }, (_, n) => whole.high[n * groups + g]!);
    const errorsOf = ({ low, high }: Ranges): Float64Array => {
      for (let n = 0; n < N; n++) {
        const scale = scaleFor(low[n]!, high[n]!, top);
        const zero = zeroOf(low[n]!, scale, top);
        for (let i = n * G; i < (n + 1) * G; i++)
          delta[i] = Math.fround((roundToGrid(part[i]!, scale, zero, top) - zero) * scale) - part[i]!;
      }
      return outputErrors(ops, { K: G, H: block }, delta, N);
    };
    const best = { low: min.slice(), high: max.slice() };
    const least = errorsOf(best);
    /** Takes the ranges for the rows where they are better. */
    const attempt = (ranges: Ranges): void => {
      const errors = errorsOf(ranges);
      for (let n = 0; n < N; n++)
        if (errors[n]! < least[n]!) {
          least[n] = errors[n]!;
          best.low[n] = ranges.low[n]!;
          best.high[n] = ranges.high[n]!;
        }
    };
    for (const share of clipShares.slice(1)) {
      const limit = min.map((low, n) => share * Math.max(Math.abs(low), Math.abs(max[n]!)));
      attempt({ low: min.map((low, n) => Math.max(low, -limit[n]!)), high: max.map((high, n) => Math.min(high, limit[n]!)) });
    }
    if (ends === "asymmetric")
      for (let round = 0; round < ROUNDS; round++) {
        for (const share of clipShares) attempt({ low: min.map((low) => (low < 0 ? low * share : low)), high: best.high.slice() });
        for (const share of clipShares) attempt({ low: best.low.slice(), high: max.map((high) => (high > 0 ? high * share : high)) });
      }
    for (let n = 0; n < N; n++) {
      chosen.low[n * groups + g] = best.low[n]!;
      chosen.high[n * groups + g] = best.high[n]!;
    }
  }
  return chosen;
}

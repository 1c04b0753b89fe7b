/**
 * Bounds of sampling: the reported log-probability, and which draws f32 cannot tell apart (the near ties of docs/sampling.md, here
 * for equal logits, so that only the arithmetic of the weights differs).
 */

import type { SamplingOptions } from "../../core/model/engine.ts";
import { uniformAt } from "../../core/sample/random.ts";
import { argmax, candidates, logProbability, penalize } from "../../core/sample/sampler.ts";
import { type Arithmetic, compose, gamma } from "./arithmetic.ts";

/**
 * How often a partial sum of exponentials may be multiplied by exp(old max − new max) before it is whole: a tree of 8 levels over 256
 * invocations, then 64 partial results one after the other.
 */
const JOINS = 8 + 64;

/**
 * Relative error of Σ exp(z_i − max), each term going through at most `additions` additions and `joins` joins as above; and of one
 * share of it twice that.
 */
function weightSumError(z: Float32Array, a: Arithmetic, additions: number, joins: number): number {
  const max = z[argmax(z)]!;
  let total = 0;
  let errors = 0;
  for (const value of z) {
    const d = value - max;
    const w = Math.exp(d);
    total += w;
    errors += w * (a.exp(d) + Math.abs(d) * a.u) + a.expEta(d);
  }
  return compose(errors / total, gamma(additions, a.u), gamma(joins, a.exp(0) + a.u));
}

/** |computed − exact| of log p[id] = l − max − log Σ exp(l_j − max). */
export function logProbabilityError(logits: Float32Array, id: number, a: Arithmetic): number {
  const max = logits[argmax(logits)]!;
  const below = logits[id]! - max;
  const log = logProbability(logits, id) - below;
  const sigma = weightSumError(logits, a, logits.length + JOINS, JOINS);
  // WGSL: log is within 2⁻²¹ on [½, 2] and 3 ULP elsewhere.
  const builtin = a.name === "f64" ? 2 ** -52 * Math.abs(log) : Math.max(2 ** -21, 3 * a.u * Math.abs(log));
  return sigma / (1 - sigma) + builtin + a.u * Math.abs(below) + a.u * (Math.abs(below) + Math.abs(log) + 1) * (1 + a.u);
}

/**
 * The δ of docs/sampling.md: how far two backends' z may be apart where their logits are `logitError` apart, one of them computing
 * in `a`. The factor 1/temperature is the same number, its product rounds once; the weights and their sums are not exact either:
 * a share off by a factor 1 ± 2ε is a share whose z are off by ε. The kernels' running sums add at most V/256 weights in an
 * invocation, 256 of such sums, and V/256 weights up to the one that is drawn; u times the total rounds once.
 */
export function drawDelta(logits: Float32Array, { temperature }: SamplingOptions, logitError: number, a: Arithmetic): number {
  const inverse = temperature === 0 ? 1 : Math.fround(1 / temperature);
  const z = logits.map((l) => l * inverse);
  const largest = z.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const rounding = logitError * inverse + (a.u + 2 ** -24) * largest;
  return temperature === 0 ? rounding : rounding + weightSumError(z, a, 2 * Math.ceil(z.length / 256) + 256, 0) + a.u;
}

/** z of docs/sampling.md. */
const scaled = (scores: Float32Array, temperature: number): Float32Array => {
  const inverse = Math.fround(1 / temperature);
  return scores.map((l) => l * inverse);
};
const near = (x: number, y: number, a: Arithmetic): boolean => x !== y && Math.abs(x - y) <= 2 * a.u * Math.max(Math.abs(x), Math.abs(y));
const allEqual = (z: Float32Array): boolean => z.every((value) => value === z[0]);
const descending = (values: Float32Array): Float32Array => values.toSorted().reverse();
/** Whether all weights are 1, so that their sums are exact, and `share` of their number is as well. */
const isCount = (z: Float32Array, share: number, n: number): boolean =>
  allEqual(z) && Math.fround(share) === share && Math.fround(share * n) === share * n;

/** Of a share of the weights. Weights that are all 1 have exact sums: only products with the share and quotients round. */
const shareError = (z: Float32Array, a: Arithmetic): number =>
  (allEqual(z) ? 0 : 2 * weightSumError(z, a, z.length + JOINS, JOINS)) + 4 * a.u;

/** Whether the cut of top-k or of top-p is closer than the arithmetic can tell. Never in f64. */
export function isNearBorder(scores: Float32Array, options: SamplingOptions, a: Arithmetic): boolean {
  if (a.name === "f64") return false;
  const { topK, topP, temperature } = options;
  const z = scaled(scores, temperature);
  // Times a power of two z is exact, and comparisons of it are.
  if (topK > 0 && topK < z.length && !Number.isInteger(Math.log2(temperature))) {
    const order = descending(z);
    if (near(order[topK - 1]!, order[topK]!, a)) return true;
  }
  if (topP === 1) return false;
  const { ids, weights, total } = candidates(scores, { ...options, topP: 1, minP: 0 });
  if (isCount(z, topP, ids.length)) return false;
  const delta = shareError(z, a);
  const order = ids.map((id, i) => ({ z: z[id]!, id, w: weights[i]! })).sort((x, y) => y.z - x.z || x.id - y.id);
  let sum = 0;
  for (const { w } of order) {
    sum += w / total;
    if (Math.abs(sum - topP) <= delta) return true;
  }
  return false;
}

/** For each position, whether a comparison that decides its draw is closer than the arithmetic can tell. Never in f64. */
export function nearTies(
  logits: Float32Array,
  options: SamplingOptions,
  seen: readonly number[],
  positions: readonly number[],
  a: Arithmetic,
): boolean[] {
  const all = (tie: boolean): boolean[] => positions.map(() => tie);
  if (a.name === "f64") return all(false);
  const scores = logits.slice();
  if (options.repetitionPenalty !== 1) penalize(scores, seen, options.repetitionPenalty);
  if (options.temperature === 0) {
    const [first, second] = descending(scores);
    return all(options.repetitionPenalty !== 1 && second !== undefined && near(first!, second, a));
  }
  if (isNearBorder(scores, options, a)) return all(true);
  const z = scaled(scores, options.temperature);
  const max = z[argmax(z)]!;
  if (options.minP > 0) {
    // The weight of the maximum is 1 on every backend.
    for (const value of z)
      if (value !== max && Math.abs(Math.exp(value - max) / options.minP - 1) <= a.exp(value - max) + 4 * a.u) return all(true);
  }
  const delta = shareError(z, a);
  const { weights, total } = candidates(scores, options);
  let sum = 0;
  const shares = weights.map((w) => (sum += w / total));
  return positions.map((position) => {
    const u = uniformAt(options.seed, position);
    return !isCount(z, u, weights.length) && shares.some((share) => Math.abs(share - u) <= delta);
  });
}

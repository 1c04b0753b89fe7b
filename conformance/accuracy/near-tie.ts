/**
 * Draws that two computations may decide differently, because a comparison in them is closer than they agree: the rule
 * of docs/sampling.md, "Near ties". Once for backends whose logits differ (`isNearTie`), once for equal logits, where
 * only the arithmetic of the weights does (`nearTies`). For tests and for whoever compares two runs; sampling itself
 * does not ask.
 */
import type { SamplingOptions } from "../../core/model/engine.ts";
import { uniformAt } from "../../core/sample/random.ts";
import { argmax, type Candidates, candidates, draw, penalize } from "../../core/sample/sampler.ts";
import type { Arithmetic } from "./arithmetic.ts";
import { JOINS, weightSumError } from "./sampling.ts";

/** What two computations cannot tell apart. */
interface Blur {
  /** Two scores that may change places; the greater one first. */
  readonly swap: (x: number, y: number) => boolean;
  /** A share of `n` weights that may lie on either side of a border. */
  readonly straddle: (share: number, border: number, n: number) => boolean;
  /** A weight exp(d), d ≤ 0, that may lie on either side of min-p. */
  readonly atMinP: (d: number, minP: number) => boolean;
  /** Whether the last share, 1, is a border too: where a running sum may end below it. */
  readonly whole: boolean;
}

/** z of docs/sampling.md: scores times f32(1/temperature); the scores themselves when greedy. */
function scaled(scores: Float32Array, temperature: number): Float32Array {
  const inverse = temperature === 0 ? 1 : Math.fround(1 / temperature);
  return scores.map((l) => l * inverse);
}

/** Whether the cut of top-k or that of top-p is near. */
function isCutNear(z: Float32Array, { topK, topP }: SamplingOptions, blur: Blur): boolean {
  if ((topK === 0 || topK >= z.length) && topP === 1) return false;
  const order = Array.from(z.keys()).sort((a, b) => z[b]! - z[a]! || a - b);
  /** Whether the ids before and after a cut of `order` may change places. */
  const mayMix = (length: number): boolean => length < order.length && blur.swap(z[order[length - 1]!]!, z[order[length]!]!);
  if (topK > 0) {
    if (mayMix(topK)) return true;
    order.length = Math.min(order.length, topK);
  }
  if (topP === 1) return false;
  const n = order.length;
  const max = z[order[0]!]!;
  const weights = order.map((id) => Math.exp(z[id]! - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  let [before, share, kept] = [0, 0, 0];
  do {
    before = share;
    share += weights[kept++]! / sum;
  } while (kept < n && share < topP);
  return (kept > 1 && blur.straddle(before, topP, n)) || ((kept < n || blur.whole) && blur.straddle(share, topP, n)) || mayMix(kept);
}

/** Whether a draw at `u` is near one end of what it draws. */
function isDrawNear({ ids, weights, total }: Candidates, shares: Float64Array, chosen: number, u: number, blur: Blur): boolean {
  const n = ids.length;
  const begin = shares[chosen]! - weights[chosen]! / total;
  return (chosen > 0 && blur.straddle(begin, u, n)) || ((chosen < n - 1 || blur.whole) && blur.straddle(shares[chosen]!, u, n));
}

/**
 * For each number u, whether a comparison that decides its draw is near. `scores` are penalized where there is a
 * penalty.
 */
function areNear(scores: Float32Array, options: SamplingOptions, us: readonly number[], blur: Blur): boolean[] {
  const all = (near: boolean): boolean[] => us.map(() => near);
  const z = scaled(scores, options.temperature);
  const best = argmax(z);
  const max = z[best]!;
  if (options.temperature === 0) return all(z.some((value, id) => id !== best && blur.swap(max, value)));
  if (isCutNear(z, options, blur)) return all(true);
  // Those that min-p may leave or not.
  const { minP } = options;
  if (minP > 0 && candidates(scores, { ...options, minP: 0 }).ids.some((id) => id !== best && blur.atMinP(z[id]! - max, minP)))
    return all(true);
  const drawn = candidates(scores, options);
  let sum = 0;
  const shares = Float64Array.from(drawn.weights, (w) => (sum += w / drawn.total));
  return us.map((u) => isDrawNear(drawn, shares, drawn.ids.indexOf(draw(drawn, u)), u, blur));
}

/**
 * Whether a draw may come out differently where every z is off by at most `delta`. Shares then move by at most 2·delta,
 * for delta ≤ 0.5.
 * @param scores [V] logits, penalized where there is a penalty
 * @param u the uniform number of the position (uniformAt); not read when greedy
 */
export function isNearTie(scores: Float32Array, options: SamplingOptions, u: number, delta: number): boolean {
  const gap = 2 * delta;
  return areNear(scores, options, [u], {
    swap: (x, y) => x - y <= gap,
    straddle: (share, border) => Math.abs(share - border) <= gap,
    atMinP: (d, minP) => Math.abs(d - Math.log(minP)) <= gap,
    whole: false,
  })[0]!;
}

/** What the arithmetic of a kernel cannot tell apart where the logits are the same. */
function blurOf(z: Float32Array, { temperature, repetitionPenalty }: SamplingOptions, a: Arithmetic): Blur {
  const equal = z.every((value) => value === z[0]);
  // Weights that are all 1 have exact sums: only products with the share and quotients round.
  const delta = (equal ? 0 : 2 * weightSumError(z, a, z.length + JOINS, JOINS)) + 4 * a.u;
  const isCount = (share: number, n: number): boolean => equal && Math.fround(share) === share && Math.fround(share * n) === share * n;
  // Without a penalty, and times a power of two, z is exact, and comparisons of it are.
  const exact = repetitionPenalty === 1 && (temperature === 0 || Number.isInteger(Math.log2(temperature)));
  return {
    swap: (x, y) => !exact && x !== y && Math.abs(x - y) <= 2 * a.u * Math.max(Math.abs(x), Math.abs(y)),
    straddle: (share, border, n) => !isCount(border, n) && Math.abs(share - border) <= delta,
    // The weight of a maximum is 1 in every arithmetic.
    atMinP: (d, minP) => d !== 0 && Math.abs(Math.exp(d) / minP - 1) <= a.exp(d) + 4 * a.u,
    whole: true,
  };
}

/** Whether the cut of top-k or of top-p is closer than the arithmetic can tell. Never in f64. */
export function isNearBorder(scores: Float32Array, options: SamplingOptions, a: Arithmetic): boolean {
  if (a.name === "f64") return false;
  const z = scaled(scores, options.temperature);
  return isCutNear(z, options, blurOf(z, options, a));
}

/**
 * For each position, whether a comparison that decides its draw is closer than the arithmetic can tell. Never in f64.
 */
export function nearTies(
  logits: Float32Array,
  options: SamplingOptions,
  seen: readonly number[],
  positions: readonly number[],
  a: Arithmetic,
): boolean[] {
  if (a.name === "f64") return positions.map(() => false);
  const scores = logits.slice();
  if (options.repetitionPenalty !== 1) penalize(scores, seen, options.repetitionPenalty);
  const us = positions.map((position) => uniformAt(options.seed, position));
  return areNear(scores, options, us, blurOf(scaled(scores, options.temperature), options, a));
}

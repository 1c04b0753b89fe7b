/**
 * From logits to a token in `exact`: the steps of docs/sampling.md with integer weights, so that a seed draws the same id on every device,
 * and log-probabilities as integers of 2^−24 bits.
 */
import type { Sampler, SamplingOptions } from "../model/engine.ts";
import { uniformAt } from "../sample/random.ts";
import { argmax, largest } from "../sample/sampler.ts";
import { fixedDistance, LOG2E, logInteger, powerOfTwo } from "./functions.ts";
import { add, clean, mul } from "./numbers.ts";

/** Nats in one unit of `surprisal`. */
const NATS = Math.LN2 * 2 ** -24;

/** Σ ⌊2^(30 − d_i) · 2^14⌋, units of 2^−44: below 2^64 for 2^20 logits. */
export function partition(logits: Float32Array): { readonly most: number; readonly total: bigint } {
  const most = logits[argmax(logits)]!;
  let high = 0;
  let low = 0;
  for (const l of logits) {
    const { whole, fraction } = fixedDistance(mul(add(most, -l), LOG2E));
    const w = Math.floor(powerOfTwo(fraction) * 2 ** (14 - whole));
    const top = Math.floor(w / 65536);
    high += top;
    low += w - top * 65536;
  }
  return { most, total: (BigInt(high) << 16n) + BigInt(low) };
}

/**
 * −log₂ of an id's share of softmax(logits), in units of 2^−24: its distance from the largest logit, in bits, plus log₂ Z, both integers. A
 * distance beyond 2^29 bits counts as that.
 */
export function surprisal(logit: number, { most, total }: { readonly most: number; readonly total: bigint }): number {
  const distance = Math.min(2 ** 53, Math.floor(mul(add(most, -logit), LOG2E) * 2 ** 24 + 0.5));
  return distance + logInteger(total) - 44 * 2 ** 24;
}

/** Natural logarithm of a share from its surprisal: one f64 product. */
export const toLogProbability = (units: number): number => 0 - units * NATS;

/** Natural logarithm of an id's share of softmax(logits). */
export const logProbability = (logits: Float32Array, id: number): number => toLogProbability(surprisal(logits[id]!, partition(logits)));

/** The `n` likeliest ids with their log-probabilities, likeliest first, lower ids first among equals. */
export function topLogProbabilities(logits: Float32Array, n: number): { id: number; logprob: number }[] {
  const Z = partition(logits);
  return largest(logits, n).map((id) => ({ id, logprob: toLogProbability(surprisal(logits[id]!, Z)) }));
}

/** The token at `position` of a sequence whose earlier ids are `seen`. Every comparison is one of integers, or of two numbers. */
export function sample(logits: Float32Array, options: SamplingOptions, seen: Iterable<number>, position: number): number {
  const { temperature, topK, topP, minP, repetitionPenalty, seed } = options;
  let scores = logits;
  if (repetitionPenalty !== 1) {
    scores = logits.slice();
    const up = Math.fround(repetitionPenalty);
    const down = Math.fround(1 / repetitionPenalty);
    for (const id of new Set(seen)) scores[id] = mul(scores[id]!, scores[id]! > 0 ? down : up);
  }
  if (temperature === 0) return argmax(scores);
  const inverse = Math.fround(1 / temperature);
  const z = scores.map((l) => mul(l, inverse));
  const most = z[argmax(z)]!;
  // Weights of 31 bits: 2^30 for the likeliest.
  const weights = Float64Array.from(z, (value) => {
    const { whole, fraction } = fixedDistance(mul(add(most, -value), LOG2E));
    return Math.floor(powerOfTwo(fraction) * 2 ** -whole);
  });
  let order = Array.from(z.keys());
  if (topK > 0 || topP < 1) order.sort((a, b) => z[b]! - z[a]! || a - b);
  if (topK > 0) order = order.slice(0, topK);
  if (topP < 1) {
    // The shortest prefix, of one at least, with Σ w · 2^32 ≥ ⌊p · 2^32⌋ times the sum of what is left.
    const share = BigInt(Math.floor(topP * 2 ** 32)) * BigInt(order.reduce((sum, id) => sum + weights[id]!, 0));
    let sum = 0;
    let kept = 0;
    while (kept < order.length && (kept === 0 || BigInt(sum) << 32n < share)) sum += weights[order[kept++]!]!;
    order = order.slice(0, kept);
  }
  const least = Math.floor(minP * 2 ** 32);
  const left = order.filter((id) => weights[id]! * 4 >= least).sort((a, b) => a - b);
  // The first id at which the running sum, times 2^24, exceeds the 24 random bits times the sum.
  const border = BigInt(left.reduce((sum, id) => sum + weights[id]!, 0)) * BigInt(uniformAt(seed, position) * 2 ** 24);
  let sum = 0;
  for (const id of left) {
    sum += weights[id]!;
    if (BigInt(sum) << 24n > border) return id;
  }
  return left[left.length - 1]!;
}

/** The sampler of every model in `exact`, on whatever device. */
export const exactSampler: Sampler = { admit: (logits) => logits.map(clean), sample, logProbability, topLogProbabilities };

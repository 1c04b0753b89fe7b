/**
 * From logits to a token, as docs/sampling.md specifies it: the same order of steps, tie-breaks and random stream on
 * every backend. Products with the penalty and the temperature are rounded to f32 (a GPU computes them so); weights are
 * f64 here.
 */
import { GureumError } from "../errors.ts";
import type { Sampler, SamplingOptions } from "../model/engine.ts";
import { uniformAt } from "./random.ts";

export const greedy: SamplingOptions = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0n };

const wrongType = (name: string, expected: string, value: unknown): GureumError =>
  new GureumError("usage", {
    where: "sampling",
    what: `${name} has the wrong type`,
    expected,
    got: value === null ? "null" : typeof value === "string" ? JSON.stringify(value) : typeof value,
  });

/** @throws GureumError "usage" naming the first option of a wrong type, "range" the first outside its range */
export function checkSampling(options: SamplingOptions): void {
  if (typeof options !== "object" || options === null) throw wrongType("the options", "an object", options);
  const check = (name: string, value: number, ok: (x: number) => boolean, expected: string): void => {
    if (typeof value !== "number") throw wrongType(name, "a number", value);
    if (!ok(value)) throw new GureumError("range", { where: "sampling", what: name, expected, got: `${value}` });
  };
  const { temperature, topK, topP, minP, repetitionPenalty, seed } = options;
  const isTemperature = (x: number): boolean => x === 0 || (x >= 1e-4 && x <= 1e4);
  check("temperature", temperature, isTemperature, "0, or a number from 0.0001 to 10000");
  check("top-k", topK, (x) => Number.isInteger(x) && x >= 0, "an integer from 0 (off)");
  check("top-p", topP, (x) => x > 0 && x <= 1, "a number above 0 and at most 1 (off)");
  check("min-p", minP, (x) => x >= 0 && x <= 1, "a number from 0 (off) to 1");
  check("repetition-penalty", repetitionPenalty, (x) => x >= 0.01 && x <= 100, "a number from 0.01 to 100");
  if (typeof seed !== "bigint") throw wrongType("seed", "a bigint", seed);
  if (seed < 0n || seed >= 1n << 64n)
    throw new GureumError("range", { where: "sampling", what: "seed", expected: "an integer from 0 to 2^64 - 1", got: `${seed}` });
}

/** Index of the largest value; the lowest index where several are. NaN never wins. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i]! > max) {
      max = values[i]!;
      best = i;
    }
  }
  return best;
}

/** The largest logit, and log Σ exp(logit − largest); f64. */
function partition(logits: Float32Array): { readonly most: number; readonly logSum: number } {
  const most = logits[argmax(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - most);
  return { most, logSum: Math.log(sum) };
}

/** log p[id] under softmax(logits); f64. */
export function logProbability(logits: Float32Array, id: number): number {
  const { most, logSum } = partition(logits);
  return logits[id]! - most - logSum;
}

/**
 * In place: every id in `seen` gets its logit l multiplied by fround(1/penalty) where l > 0 and by fround(penalty)
 * elsewhere, once however often it occurs; f32.
 * Source: Keskar et al. 2019, arXiv 1909.05858, §4.1; Hugging Face RepetitionPenaltyLogitsProcessor.
 */
export function penalize(logits: Float32Array, seen: Iterable<number>, penalty: number): void {
  const up = Math.fround(penalty);
  const down = Math.fround(1 / penalty);
  for (const id of new Set(seen)) {
    const l = logits[id]!;
    logits[id] = l > 0 ? l * down : l * up;
  }
}

/**
 * What a draw was made from: the ids that top-k, top-p and min-p left, ascending, their weights and the sum of these.
 */
export interface Candidates {
  readonly ids: number[];
  readonly weights: number[];
  readonly total: number;
}

/**
 * Steps 2 to 5 of docs/sampling.md on penalized logits: temperature, top-k, top-p, min-p.
 * weight(i) = exp(z_i − max z), z = f32(logit · f32(1/temperature)).
 */
export function candidates(logits: Float32Array, options: SamplingOptions): Candidates {
  const { temperature, topK, topP, minP } = options;
  const inverse = Math.fround(1 / temperature);
  const z = logits.map((l) => l * inverse);
  const max = z[argmax(z)]!;
  // Where nothing is cut by rank, none is needed: sorting a vocabulary costs more than the rest.
  let order = Array.from(z.keys());
  if (topK > 0 || topP < 1) order.sort((a, b) => z[b]! - z[a]! || a - b);
  if (topK > 0) order = order.slice(0, topK);
  const weight = (id: number): number => Math.exp(z[id]! - max);
  if (topP < 1) {
    let sum = 0;
    for (const id of order) sum += weight(id);
    // The shortest prefix whose share reaches topP; the token that crosses the line stays.
    let cumulative = 0;
    let kept = 0;
    while (kept < order.length && cumulative < topP * sum) cumulative += weight(order[kept++]!);
    order = order.slice(0, kept);
  }
  if (minP > 0) order = order.filter((id) => weight(id) >= minP);
  const ids = order.sort((a, b) => a - b);
  const weights = ids.map(weight);
  return { ids, weights, total: weights.reduce((a, b) => a + b, 0) };
}

/** The first id, ascending, at which the running sum of weights exceeds u · total. */
export function draw({ ids, weights, total }: Candidates, u: number): number {
  let cumulative = 0;
  for (let i = 0; i < ids.length; i++) {
    cumulative += weights[i]!;
    if (cumulative > u * total) return ids[i]!;
  }
  return ids[ids.length - 1]!;
}

/**
 * The token at `position` of a sequence whose earlier ids are `seen`.
 * @param logits [V], unchanged
 */
export function sample(logits: Float32Array, options: SamplingOptions, seen: Iterable<number>, position: number): number {
  let scores = logits;
  if (options.repetitionPenalty !== 1) {
    scores = logits.slice();
    penalize(scores, seen, options.repetitionPenalty);
  }
  if (options.temperature === 0) return argmax(scores);
  return draw(candidates(scores, options), uniformAt(options.seed, position));
}

/** Of so many one finds a place for each; of more it is cheaper to sort all. */
const FEW = 256;

/** The ids of the `n` largest, largest first, lower ids first among equals. */
export function largest(values: Float32Array, n: number): number[] {
  if (n > FEW)
    return Array.from(values.keys(), (id) => id)
      .sort((a, b) => values[b]! - values[a]! || a - b)
      .slice(0, n);
  const best: number[] = [];
  for (let id = 0; id < values.length; id++) {
    const value = values[id]!;
    if (best.length === n && !(n > 0 && value > values[best[n - 1]!]!)) continue;
    let place = best.length;
    while (place > 0 && value > values[best[place - 1]!]!) place--;
    best.splice(place, 0, id);
    if (best.length > n) best.pop();
  }
  return best;
}

/**
 * The `n` likeliest ids with their log-probabilities under softmax(logits), likeliest first, lower ids first among
 * equals.
 */
export function topLogProbabilities(logits: Float32Array, n: number): { id: number; logprob: number }[] {
  const { most, logSum } = partition(logits);
  return largest(logits, n).map((id) => ({ id, logprob: logits[id]! - most - logSum }));
}

/** These functions as a record, for models that do not bring their own. */
export const floatSampler: Sampler = { sample, logProbability, topLogProbabilities };

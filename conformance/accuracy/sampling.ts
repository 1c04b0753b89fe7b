/** Bounds of sampling: the reported log-probability, sums of weights, and how far two backends' scores are apart. */

import type { SamplingOptions } from "../../core/model/engine.ts";
import { argmax, logProbability } from "../../core/sample/sampler.ts";
import { type Arithmetic, compose, gamma } from "./arithmetic.ts";

/**
 * How often a partial sum of exponentials may be multiplied by exp(old max − new max) before it is whole: a tree of 8
 * levels over 256 invocations, then 64 partial results one after the other.
 */
export const JOINS: number = 8 + 64;

/**
 * Relative error of Σ exp(z_i − max), each term going through at most `additions` additions and `joins` joins as above;
 * and of one share of it twice that.
 */
export function weightSumError(z: Float32Array, a: Arithmetic, additions: number, joins: number): number {
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
 * The δ of docs/sampling.md: how far two backends' z may be apart where their logits are `logitError` apart, one of
 * them computing in `a`. The factor 1/temperature is the same number, its product rounds once; the weights and their
 * sums are not exact either: a share off by a factor 1 ± 2ε is a share whose z are off by ε. The kernels' running sums
 * add at most V/256 weights in an invocation, 256 of such sums, and V/256 weights up to the one that is drawn; u times
 * the total rounds once.
 */
export function drawDelta(logits: Float32Array, { temperature }: SamplingOptions, logitError: number, a: Arithmetic): number {
  const inverse = temperature === 0 ? 1 : Math.fround(1 / temperature);
  const z = logits.map((l) => l * inverse);
  const largest = z.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const rounding = logitError * inverse + (a.u + 2 ** -24) * largest;
  return temperature === 0 ? rounding : rounding + weightSumError(z, a, 2 * Math.ceil(z.length / 256) + 256, 0) + a.u;
}

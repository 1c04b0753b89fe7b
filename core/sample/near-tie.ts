/**
 * Draws that two backends may decide differently, because a comparison in them is closer than their logits agree: the rule of
 * docs/sampling.md, "Near ties". For tests and for whoever compares two runs; sampling itself does not ask.
 */
import type { SamplingOptions } from "../model/engine.ts";
import { argmax, candidates, draw } from "./sampler.ts";

/**
 * Whether a draw may come out differently where every z (the scores times f32(1/temperature); the scores themselves when greedy) is
 * off by at most `delta`. Shares then move by at most 2·delta, for delta ≤ 0.5.
 * @param scores [V] logits, penalized where there is a penalty
 * @param u the uniform number of the position (uniformAt); not read when greedy
 */
export function isNearTie(scores: Float32Array, options: SamplingOptions, u: number, delta: number): boolean {
  const { temperature, topK, topP, minP } = options;
  const gap = 2 * delta;
  const inverse = temperature === 0 ? 1 : Math.fround(1 / temperature);
  const z = scores.map((l) => l * inverse);
  if (temperature === 0) {
    const best = argmax(z);
    return z.some((value, id) => id !== best && z[best]! - value <= gap);
  }
  const order = Array.from(z.keys()).sort((a, b) => z[b]! - z[a]! || a - b);
  /** Whether the ids before and after a cut of `order` may change places. */
  const mayMix = (length: number): boolean => length < order.length && z[order[length - 1]!]! - z[order[length]!]! <= gap;
  if (topK > 0) {
    if (mayMix(topK)) return true;
    order.length = Math.min(order.length, topK);
  }
  const max = z[order[0]!]!;
  if (topP < 1) {
    const weights = order.map((id) => Math.exp(z[id]! - max));
    const sum = weights.reduce((a, b) => a + b, 0);
    let before = 0;
    let share = weights[0]! / sum;
    let kept = 1;
    while (kept < order.length && share < topP) {
      before = share;
      share += weights[kept++]! / sum;
    }
    const isBorder = (value: number): boolean => Math.abs(value - topP) <= gap;
    if ((kept > 1 && isBorder(before)) || (kept < order.length && isBorder(share)) || mayMix(kept)) return true;
    order.length = kept;
  }
  if (minP > 0 && order.some((id, i) => i > 0 && Math.abs(z[id]! - max - Math.log(minP)) <= gap)) return true;
  const left = candidates(scores, options);
  const chosen = left.ids.indexOf(draw(left, u));
  const end = left.weights.slice(0, chosen + 1).reduce((a, b) => a + b, 0) / left.total;
  const begin = end - left.weights[chosen]! / left.total;
  return (chosen > 0 && u - begin <= gap) || (chosen < left.ids.length - 1 && end - u <= gap);
}

/** Adam: steps of about `rate`, against each number's own gradient as it has been lately. Source: Kingma & Ba 2015, arXiv 1412.6980. */
import type { Allocate } from "./numbers.ts";

export interface Adam {
  /** Means of the gradients and of their squares. */
  readonly mean: Float32Array;
  readonly square: Float32Array;
}

export const makeAdam = (allocate: Allocate, length: number): Adam => ({ mean: allocate(length), square: allocate(length) });

/** How much of the means stays at each step. */
export const BETA1 = 0.9;
export const BETA2 = 0.99;

/**
 * Moves `values` by step `step` (from 1) with its gradients; `relative`: each in proportion to its own size.
 */
export function adamStep(
  { mean, square }: Adam,
  values: Float32Array,
  gradients: ArrayLike<number>,
  rate: number,
  step: number,
  relative: boolean,
): void {
  const first = rate / (1 - BETA1 ** step);
  const second = 1 / (1 - BETA2 ** step);
  for (let i = 0; i < values.length; i++) {
    const g = gradients[i]!;
    const m = BETA1 * mean[i]! + (1 - BETA1) * g;
    const v = BETA2 * square[i]! + (1 - BETA2) * g * g;
    mean[i] = m;
    square[i] = v;
    if (v > 0) {
      const move = (first * m) / (Math.sqrt(v * second) + 1e-20);
      values[i] = values[i]! - (relative ? move * Math.abs(values[i]!) : move);
    }
  }
}

/**
 * AWQ's scales: input channels that carry much are multiplied by s > 1 before rounding and divided after, so that they
 * are rounded more finely. s = x̄^r / w̄^(1 − r) for a ratio r from a grid; the r whose rounded weights give the least
 * loss is taken. Source: Lin et al. 2023, arXiv 2306.00978, §3.2; AutoAWQ 0.2.9 `awq/quantize/quantizer.py`
 * (_search_best_scale, _compute_best_scale).
 */

/** A weight W [N, K]. */
export interface WeightMatrix {
  /** Row by row. */
  readonly W: Float32Array;
  /** Outputs. */
  readonly N: number;
  /** Inputs. */
  readonly K: number;
}

/** Mean over the rows of |W| / (largest |W| of its group), per input channel [K]. */
export function weightMagnitude(matrices: readonly WeightMatrix[], K: number, groupSize: number): Float64Array {
  const mean = new Float64Array(K);
  let rows = 0;
  for (const { W, N } of matrices) {
    rows += N;
    for (let start = 0; start < N * K; start += groupSize) {
      let largest = 0;
      for (let i = start; i < start + groupSize; i++) largest = Math.max(largest, Math.abs(W[i]!));
      const inverse = 1 / (largest + 1e-6);
      const first = start % K;
      for (let i = 0; i < groupSize; i++) mean[first + i] = mean[first + i]! + Math.abs(W[start + i]!) * inverse;
    }
  }
  return mean.map((sum) => sum / rows);
}

/**
 * s [K] for ratio r: x̄^r / (w̄^(1 − r) + 1e-4), at least 1e-4, divided by √(largest · smallest); without `w` the
 * denominator is left out. A channel without a finite scale gets 1.
 */
export function scalesOf(x: Float64Array, w: Float64Array | null, r: number): Float32Array {
  const raw = x.map((mean, k) => Math.max(1e-4, w ? mean ** r / (w[k]! ** (1 - r) + 1e-4) : mean ** r));
  let smallest = Infinity;
  let largest = 0;
  for (const s of raw) {
    smallest = Math.min(smallest, s);
    largest = Math.max(largest, s);
  }
  const middle = Math.sqrt(largest * smallest);
  return Float32Array.from(raw, (s) => {
    const scaled = s / middle;
    return Number.isFinite(scaled) && scaled > 0 ? scaled : 1;
  });
}

export interface ScaleChoice {
  /** null: all scales are 1. */
  readonly ratio: number | null;
  readonly scales: Float32Array;
  readonly loss: number;
}

/**
 * Tries s = 1, then r = i / steps for i = 0 … steps − 1; the first of equal losses is taken, so that the loss is never
 * above that of no scales at all.
 * @param both whether each r is tried without w̄ as well
 */
export function searchScale(
  x: Float64Array,
  w: Float64Array,
  steps: number,
  both: boolean,
  loss: (scales: Float32Array) => number,
): ScaleChoice {
  const ones = new Float32Array(x.length).fill(1);
  let best: ScaleChoice = { ratio: null, scales: ones, loss: loss(ones) };
  for (let i = 0; i < steps; i++)
    for (const divisor of both ? [w, null] : [w]) {
      const scales = scalesOf(x, divisor, i / steps);
      const value = loss(scales);
      if (value < best.loss) best = { ratio: i / steps, scales, loss: value };
    }
  return best;
}

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

/** Scales that are tried. */
export interface Candidate {
  /** null: all scales are 1. */
  readonly ratio: number | null;
  readonly scales: Float32Array;
}

/** How many candidates there are. */
export const candidateCount = (steps: number, both: boolean): number => 1 + steps * (both ? 2 : 1);

/** No scales at all, then r = i / steps for i = 0 … steps − 1; `both`: each r without w̄ as well. */
export function candidatesOf(x: Float64Array, w: Float64Array, steps: number, both: boolean): Candidate[] {
  const ones = new Float32Array(x.length).fill(1);
  const tried = Array.from({ length: steps }, (_, i) =>
    (both ? [w, null] : [w]).map((divisor) => ({ ratio: i / steps, scales: scalesOf(x, divisor, i / steps) })),
  );
  return [{ ratio: null, scales: ones }, ...tried.flat()];
}

/**
 * Candidates are told apart in heats: all are judged by a small share of the tokens (or outputs), the best of them, and
 * no scales at all, by a larger one, and the last by all there are. Losses of candidates on the same tokens differ by
 * far less than losses of different tokens, so that a small share finds the leaders.
 */
export const heats: readonly { readonly share: number; readonly kept: number }[] = [
  { share: 1 / 16, kept: 6 },
  { share: 1 / 4, kept: 2 },
  { share: 1, kept: 1 },
];

/**
 * Who goes on from a heat: the `kept` least losses, of equal ones the first, and in all heats but the last the first
 * candidate.
 */
export function leading<T>(candidates: readonly T[], losses: readonly number[], { share, kept }: (typeof heats)[number]): T[] {
  const lossOf = (i: number): number => (Number.isNaN(losses[i]!) ? Infinity : losses[i]!);
  const places = candidates.map((_, i) => i).sort((a, b) => lossOf(a) - lossOf(b) || a - b);
  const ahead = new Set(places.slice(0, kept));
  if (share < 1) ahead.add(0);
  return candidates.filter((_, i) => ahead.has(i));
}

/**
 * The candidate with the least loss, found in heats. The last heat has no scales at all among its candidates and takes
 * the first of equal losses, so that the loss is never above that of no scales.
 */
export function searchScale(candidates: readonly Candidate[], loss: (scales: Float32Array, share: number) => number): Candidate {
  let left = candidates;
  for (const heat of heats)
    left = leading(
      left,
      left.map(({ scales }) => loss(scales, heat.share)),
      heat,
    );
  return left[0]!;
}

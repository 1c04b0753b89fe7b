/**
 * Means with their standard errors, and quantiles, of per-token figures. Sums run in f64. Tokens are taken as independent, as every
 * perplexity tool takes them: neighbours are not, so an error that is stated here is a lower limit.
 */
import { GureumError } from "../errors.ts";

/** The mean of a sample and its standard error √(variance / n), the variance over n − 1; the error of one value is NaN. */
export interface Mean {
  /** The mean. */
  readonly value: number;
  /** Its standard error. */
  readonly error: number;
}

/** @throws GureumError "range" without values */
export function meanOf(values: ArrayLike<number>): Mean {
  const n = values.length;
  if (n === 0) throw new GureumError("range", { where: "statistics", what: "values", expected: "one or more", got: "0" });
  let sum = 0;
  for (let i = 0; i < n; i++) sum += values[i]!;
  const value = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (values[i]! - value) ** 2;
  return { value, error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : NaN };
}

/** √(mean of squares). @throws GureumError as meanOf */
export const rootMeanSquare = (values: ArrayLike<number>): number => Math.sqrt(meanOf(Float64Array.from(values, (v) => v * v)).value);

/**
 * Quantile p of values in ascending order, linear between order statistics (Hyndman & Fan 1996, type 7).
 * @throws GureumError "range" without values
 */
export function quantileOfSorted(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) throw new GureumError("range", { where: "statistics", what: "values", expected: "one or more", got: "0" });
  const position = (sorted.length - 1) * p;
  const below = Math.floor(position);
  const low = sorted[below]!;
  return low + (sorted[Math.min(below + 1, sorted.length - 1)]! - low) * (position - below);
}

/** Counts of values in `bins` equal intervals from `low` to `high`; values outside go to the nearest one. */
export function histogram(values: ArrayLike<number>, low: number, high: number, bins: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor(((values[i]! - low) / (high - low)) * bins);
    const at = Math.max(0, Math.min(bins - 1, bin));
    counts[at] = counts[at]! + 1;
  }
  return counts;
}

/**
 * Order statistics and their uncertainty. No mean anywhere: times have a floor and a long tail. Quantiles interpolate
 * linearly between order statistics (Hyndman & Fan 1996, type 7, R's default); intervals come from the percentile
 * bootstrap (Efron 1979).
 */
import { GureumError } from "../core/errors.ts";
import { quantileOfSorted } from "../core/eval/statistics.ts";

/** Median and quartiles of a sample. */
export interface Summary {
  /** Half of the samples lie at or below it. */
  readonly median: number;
  /** A quarter of the samples lies at or below it. */
  readonly lowerQuartile: number;
  /** Three quarters of the samples lie at or below it. */
  readonly upperQuartile: number;
}

/** Median and quartiles of samples. @throws GureumError "range" for no sample, or one that is no finite number */
export function summarize(samples: ArrayLike<number>): Summary {
  const sorted = Float64Array.from(samples).sort();
  if (sorted.length === 0 || !sorted.every(Number.isFinite))
    throw new GureumError("range", {
      where: "samples",
      what: "no summary",
      expected: "one finite number or more",
      got: `${sorted.length}`,
    });
  return {
    median: quantileOfSorted(sorted, 0.5),
    lowerQuartile: quantileOfSorted(sorted, 0.25),
    upperQuartile: quantileOfSorted(sorted, 0.75),
  };
}

/** Half the distance between the quartiles, as a share of the median: the "±" of a row. */
export const spreadOf = ({ median, lowerQuartile, upperQuartile }: Summary): number => (upperQuartile - lowerQuartile) / 2 / median;

/** A spread above which a number says little. */
export const WIDE = 0.1;

/** A trend is a fall or rise that chance gives less than once in 60 runs, and of this share of the median at least. */
const TREND_Z = 2.4;
const TREND_SHARE = 0.02;

/**
 * How much samples fell (below 0) or rose in the order they were taken, as a share of their median; undefined where
 * they are as flat as chance leaves them. Mann-Kendall's test: S counts pairs in order less pairs out of it, and is
 * about normal with the variance n (n − 1) (2n + 5) / 18 (Kendall 1975). The change is the median of the last third
 * less that of the first.
 */
export function trendOf(samples: readonly number[]): number | undefined {
  const n = samples.length;
  let S = 0;
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) S += Math.sign(samples[j]! - samples[i]!);
  if (n < 5 || Math.abs(S) < TREND_Z * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)) return undefined;
  const third = Math.ceil(n / 3);
  const [all, first, last] = [samples, samples.slice(0, third), samples.slice(-third)].map((part) => summarize(part).median) as [
    number,
    number,
    number,
  ];
  const change = (last - first) / all;
  return Math.abs(change) < TREND_SHARE ? undefined : change;
}

/** Uniform u32 words, xorshift32 (Marsaglia 2003): the same interval for the same samples. */
export function makeRandom(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Medians of resamples of `values`, as many draws with replacement: counted by rank, so that none is sorted. */
function medianOfResamples(values: ArrayLike<number>): (random: () => number) => number {
  const n = values.length;
  const order = Uint32Array.from({ length: n }, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const rankOf = new Uint32Array(n);
  for (const [rank, i] of order.entries()) rankOf[i] = rank;
  const counts = new Uint32Array(n);
  return (random) => {
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[rankOf[Math.floor((random() / 2 ** 32) * n)]!]!++;
    /** The k-th smallest draw, from 0. */
    const drawn = (k: number): number => {
      let rank = 0;
      for (let seen = counts[0]!; seen <= k; seen += counts[rank]!) rank++;
      return values[order[rank]!]!;
    };
    const middle = [drawn(Math.floor((n - 1) / 2)), drawn(Math.ceil((n - 1) / 2))] as const;
    return quantileOfSorted(middle, 0.5);
  };
}

/** How the medians of two samples compare. */
export interface RatioInterval {
  /** median(a) / median(b) */
  readonly ratio: number;
  /** Lower end of the interval. */
  readonly low: number;
  /** Upper end of the interval. */
  readonly high: number;
}

/** Resamples behind an interval: its ends at 95 % then rest on 50 resamples a side. */
const RESAMPLES = 2000;

/**
 * The ratio of two medians and its percentile-bootstrap interval, widened where needed to contain the ratio itself. One
 * sample a side gives an interval of no width: it says nothing, and `compare` says so.
 * @throws GureumError as summarize
 */
export function medianRatio(a: ArrayLike<number>, b: ArrayLike<number>, confidence: number = 0.95): RatioInterval {
  const ratio = summarize(a).median / summarize(b).median;
  const [ofA, ofB] = [medianOfResamples(a), medianOfResamples(b)];
  const random = makeRandom(0x9e3779b9);
  const ratios = new Float64Array(RESAMPLES);
  for (let i = 0; i < RESAMPLES; i++) ratios[i] = ofA(random) / ofB(random);
  ratios.sort();
  const tail = (1 - confidence) / 2;
  return {
    ratio,
    low: Math.min(ratio, quantileOfSorted(ratios, tail)),
    high: Math.max(ratio, quantileOfSorted(ratios, 1 - tail)),
  };
}

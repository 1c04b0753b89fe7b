import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeRandom, medianRatio, spreadOf, summarize, trendOf } from "../../../bench/statistics.ts";
import { quantileOfSorted } from "../../../core/eval/statistics.ts";

const times = fc.array(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 });
const shares = fc.double({ min: 0, max: 1, noNaN: true });
const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
/** Rounding of one interpolation: a difference, a product, a sum, each of numbers no larger than the largest sample. */
const roundings = (values: readonly number[]): number => 3 * Number.EPSILON * Math.max(...values);

describe("quantiles", () => {
  it("are the least and the largest sample at 0 and 1", () => {
    fc.assert(
      fc.property(times, (values) => {
        expect(quantileOfSorted(sorted(values), 0)).toBe(Math.min(...values));
        expect(quantileOfSorted(sorted(values), 1)).toBe(Math.max(...values));
      }),
    );
  });

  it("leave the share below them that they promise, counted one by one", () => {
    fc.assert(
      fc.property(times, shares, (values, p) => {
        const q = quantileOfSorted(sorted(values), p);
        const slack = roundings(values);
        const position = (values.length - 1) * p;
        expect(values.filter((v) => v <= q + slack).length).toBeGreaterThanOrEqual(Math.floor(position) + 1);
        expect(values.filter((v) => v >= q - slack).length).toBeGreaterThanOrEqual(values.length - Math.ceil(position));
      }),
    );
  });

  it("grow with their share", () => {
    fc.assert(
      fc.property(times, shares, shares, (values, p, q) => {
        const list = sorted(values);
        const slack = roundings(values);
        expect(quantileOfSorted(list, Math.min(p, q))).toBeLessThanOrEqual(quantileOfSorted(list, Math.max(p, q)) + slack);
      }),
    );
  });
});

describe("a summary", () => {
  it("does not depend on the order of the samples", () => {
    const shuffled = times.chain((values) => fc.tuple(fc.constant(values), fc.shuffledSubarray(values, { minLength: values.length })));
    fc.assert(
      fc.property(shuffled, ([values, other]) => {
        expect(summarize(other)).toEqual(summarize(values));
      }),
    );
  });

  it("has as its median the middle one, or the middle of the middle two", () => {
    fc.assert(
      fc.property(times, (values) => {
        const list = sorted(values);
        const half = list.length >> 1;
        const expected = list.length % 2 === 1 ? list[half]! : list[half - 1]! + (list[half]! - list[half - 1]!) * 0.5;
        expect(summarize(values).median).toBe(expected);
      }),
    );
  });

  it("scales with its samples", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: -8, max: 8 }), (values, e) => {
        const { median, lowerQuartile, upperQuartile } = summarize(values);
        const scaled = summarize(values.map((v) => v * 2 ** e));
        expect(scaled).toEqual({ median: median * 2 ** e, lowerQuartile: lowerQuartile * 2 ** e, upperQuartile: upperQuartile * 2 ** e });
        expect(spreadOf(scaled)).toBe(spreadOf(summarize(values)));
      }),
    );
  });

  it("is refused without samples and with one that is no number", () => {
    for (const samples of [[], [1, Number.NaN], [Number.POSITIVE_INFINITY]])
      expect(() => summarize(samples)).toThrow(expect.objectContaining({ code: "range" }));
  });
});

/** Every resample of a small sample, with its probability: the distribution that the bootstrap draws from. */
function allMedians(values: readonly number[]): number[] {
  let resamples: number[][] = [[]];
  for (let i = 0; i < values.length; i++) resamples = resamples.flatMap((r) => values.map((v) => [...r, v]));
  return resamples.map((r) => summarize(r).median);
}

describe("the ratio of two medians", () => {
  it("is 1 against itself, and its interval holds 1", () => {
    fc.assert(
      fc.property(times, (values) => {
        const { ratio, low, high } = medianRatio(values, values);
        expect(ratio).toBe(1);
        expect(low).toBeLessThanOrEqual(1);
        expect(high).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 20 },
    );
  });

  it("lies in its interval", () => {
    fc.assert(
      fc.property(times, times, (a, b) => {
        const { ratio, low, high } = medianRatio(a, b);
        expect(low).toBeLessThanOrEqual(ratio);
        expect(high).toBeGreaterThanOrEqual(ratio);
      }),
      { numRuns: 20 },
    );
  });

  it("scales with either side, interval and all", () => {
    fc.assert(
      fc.property(times, times, fc.integer({ min: -8, max: 8 }), (a, b, e) => {
        const { ratio, low, high } = medianRatio(a, b);
        const scaled = a.map((v) => v * 2 ** e);
        expect(medianRatio(scaled, b)).toEqual({ ratio: ratio * 2 ** e, low: low * 2 ** e, high: high * 2 ** e });
      }),
      { numRuns: 20 },
    );
  });

  it("has an interval that leaves 2.5 % of all resamples on each side, by enumeration", () => {
    const small = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 4 });
    // Of 2000 draws, the number beyond the true quantile is binomial: five standard deviations of its share.
    const slack = 5 * Math.sqrt((0.025 * 0.975) / 2000) + 1 / 2000;
    fc.assert(
      fc.property(small, small, (a, b) => {
        const [x, y] = [allMedians(a), allMedians(b)];
        const ratios = x.flatMap((p) => y.map((q) => p / q));
        const share = (beyond: (r: number) => boolean): number => ratios.filter(beyond).length / ratios.length;
        const { ratio, low, high } = medianRatio(a, b);
        expect(share((r) => r < low)).toBeLessThanOrEqual(0.025 + slack);
        expect(share((r) => r > high)).toBeLessThanOrEqual(0.025 + slack);
        // An end that was moved out to hold the ratio itself may leave less.
        if (low !== ratio) expect(share((r) => r <= low)).toBeGreaterThanOrEqual(0.025 - slack);
        if (high !== ratio) expect(share((r) => r >= high)).toBeGreaterThanOrEqual(0.025 - slack);
      }),
      { numRuns: 30 },
    );
  });

  it("has an interval that holds the true ratio about as often as it says", () => {
    const random = makeRandom(7);
    // Σ of twelve uniforms: near-normal; exp of it: long-tailed as times are. The median of exp(μ + σ z) is exp μ.
    const normal = (): number => Array.from({ length: 12 }, () => random() / 2 ** 32).reduce((s, u) => s + u, -6);
    const draw = (n: number, median: number): number[] => Array.from({ length: n }, () => median * Math.exp(0.2 * normal()));
    const trials = 200;
    let held = 0;
    for (let i = 0; i < trials; i++) {
      const { low, high } = medianRatio(draw(20, 3), draw(20, 2));
      if (low <= 1.5 && 1.5 <= high) held++;
    }
    // Percentile intervals of medians hold a little more or less than 95 %: 90 % at least, less five standard
    // deviations of 200 trials.
    expect(held / trials).toBeGreaterThanOrEqual(0.9 - 5 * Math.sqrt((0.9 * 0.1) / trials));
    expect(held).toBeLessThan(trials);
  });
});

describe("a trend", () => {
  it("is the whole fall of times that fall throughout, and its sign turns with their order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 40 }), fc.double({ min: 0.05, max: 0.9, noNaN: true }), (n, share) => {
        const falling = Array.from({ length: n }, (_, i) => 10 * (1 - (share * i) / (n - 1)));
        const fall = trendOf(falling)!;
        expect(fall).toBeLessThan(-share / 2);
        expect(trendOf(falling.toReversed())).toBeCloseTo(-fall, 12);
      }),
    );
  });

  it("is none in times that are equal, in few, and in a fall of less than two percent", () => {
    expect(trendOf([])).toBeUndefined();
    expect(trendOf(Array.from({ length: 30 }, () => 3))).toBeUndefined();
    expect(trendOf([9, 8, 7, 6])).toBeUndefined();
    expect(trendOf(Array.from({ length: 30 }, (_, i) => 100 - i / 20))).toBeUndefined();
  });

  it("is found by chance in fewer than one in 40 lists of noise", () => {
    const random = makeRandom(7);
    let found = 0;
    for (let i = 0; i < 4000; i++) if (trendOf(Array.from({ length: 5 + (i % 26) }, () => 10 + random() / 2 ** 31)) !== undefined) found++;
    expect(found).toBeLessThan(100);
    expect(found).toBeGreaterThan(0);
  });
});

/** The quantizer's stages, on small random linears: what each promises, held against plain definitions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { referenceOps } from "../../../../../core/model/ops.ts";
import { keptPlaces, shareOf } from "../../../../../core/quant/search/capture.ts";
import { searchClip } from "../../../../../core/quant/search/clip-search.ts";
import { compensate, factorOf } from "../../../../../core/quant/search/compensate.ts";
import { addToCross, corrected, makeCrossSums } from "../../../../../core/quant/search/correct.ts";
import { descend, type Rounded, refitScales } from "../../../../../core/quant/search/descend.ts";
import { addToGram, finishGram, type Gram, makeGramSums, outputErrors, scaleGram, sumOf } from "../../../../../core/quant/search/gram.ts";
import { type Grids, gridsOf, type Ranges, rangesOf, roundToNearest, valuesOf } from "../../../../../core/quant/search/grid.ts";
import {
  candidatesOf,
  heats,
  scalesOf,
  searchScale,
  type WeightMatrix,
  weightMagnitude,
} from "../../../../../core/quant/search/scale-search.ts";
import { methods, nearestDelta, stages, timesColumns } from "../../../../../core/quant/search/stages.ts";
import { numbers } from "../../../fixtures/random-model.ts";

const ops = referenceOps;

interface Case {
  readonly matrix: WeightMatrix;
  readonly x: Float32Array;
  readonly T: number;
  readonly G: number;
  readonly bits: 2 | 3 | 4;
}

/** Weights, and inputs some of whose channels are much larger than others and hang together, as real ones do. */
const arbitraryCase: fc.Arbitrary<Case> = fc
  .record({
    seed: fc.nat({ max: 1e6 }),
    n: fc.integer({ min: 1, max: 3 }),
    groups: fc.integer({ min: 1, max: 3 }),
    G: fc.constantFrom(8, 16),
    T: fc.integer({ min: 1, max: 60 }),
    bits: fc.constantFrom(2, 3, 4) as fc.Arbitrary<2 | 3 | 4>,
  })
  .map(({ seed, n, groups, G, T, bits }) => {
    const next = numbers(seed);
    const [N, K] = [8 * n, groups * G];
    const size = Array.from({ length: K }, () => Math.exp(2 * next()));
    const x = new Float32Array(T * K);
    for (let t = 0; t < T; t++) {
      const common = next();
      for (let k = 0; k < K; k++) x[t * K + k] = size[k]! * (next() + 0.7 * common);
    }
    return { matrix: { W: Float32Array.from({ length: N * K }, () => next() ** 3), N, K }, x, T, G, bits };
  });

const gramOf = ({ x, T, matrix: { K } }: Case): Gram => {
  const sums = makeGramSums(K);
  const half = Math.floor(T / 2);
  if (half > 0) addToGram(ops, sums, x.subarray(0, half * K), half);
  addToGram(ops, sums, x.subarray(half * K), T - half);
  return finishGram(ops, sums);
};

/** Σ over tokens of the squared error of each output, from its definition. */
function errorsByTokens({ x, T, matrix: { N, K } }: Case, delta: ArrayLike<number>): number[] {
  return Array.from({ length: N }, (_, n) => {
    let total = 0;
    for (let t = 0; t < T; t++) {
      let y = 0;
      for (let k = 0; k < K; k++) y += x[t * K + k]! * delta[n * K + k]!;
      total += y * y;
    }
    return total;
  });
}

const deltaOf = ({ W }: WeightMatrix, { q, grids }: Rounded): Float32Array => valuesOf(q, grids).map((value, i) => value - W[i]!);
const wholeGrids = ({ matrix: { W, N, K }, G, bits }: Case): Grids => gridsOf(rangesOf(W, N, K, G), bits, G);
/** Slack for sums of f32 products: the errors compared are of this size. */
const slack = (gram: Gram, delta: Float32Array): number => {
  let most = 0;
  for (let k = 0; k < gram.K; k++) most = Math.max(most, gram.H[k * gram.K + k]!);
  return 4 * 2 ** -24 * gram.K * most * delta.reduce((sum, d) => sum + d * d, 0);
};

describe("second moments", () => {
  it("give the outputs' squared errors without the tokens", () => {
    fc.assert(
      fc.property(arbitraryCase, (c) => {
        const { matrix } = c;
        const gram = gramOf(c);
        const delta = nearestDelta(matrix, { bits: c.bits, groupSize: c.G });
        const got = outputErrors(ops, gram, delta, matrix.N);
        const expected = errorsByTokens(c, delta);
        for (const [n, error] of expected.entries()) expect(Math.abs(got[n]! - error)).toBeLessThanOrEqual(slack(gram, delta));
        for (let k = 0; k < matrix.K; k++) {
          let sum = 0;
          for (let t = 0; t < c.T; t++) sum += Math.abs(c.x[t * matrix.K + k]!);
          expect(gram.magnitude[k]).toBeCloseTo(sum / c.T, 9);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("of scaled inputs are those of the inputs, scaled; powers of two cancel in weights and inputs to the bit", () => {
    fc.assert(
      fc.property(arbitraryCase, fc.nat(), (c, seed) => {
        const { matrix } = c;
        const { W, N, K } = matrix;
        const next = numbers(seed);
        const s = Float32Array.from({ length: K }, () => 2 ** Math.round(3 * next()));
        const gram = gramOf(c);
        const scaled = scaleGram(gram, s);
        const direct = gramOf({ ...c, x: c.x.map((value, i) => value / s[i % K]!) });
        expect(scaled).toEqual(direct);
        // W diag(s) on x / s is W on x: every product is the same number.
        const turned = timesColumns(W, K, s);
        expect([...outputErrors(ops, scaled, turned, N)]).toEqual([...outputErrors(ops, gram, W, N)]);
      }),
      { numRuns: 40 },
    );
  });
});

describe("rounding to the nearest", () => {
  it("leaves every weight within half a step where nothing was cut, also in groups of one sign", () => {
    fc.assert(
      fc.property(arbitraryCase, (c) => {
        const { W, N, K } = c.matrix;
        const top = 2 ** c.bits - 1;
        const ranges = rangesOf(W, N, K, c.G);
        const grids = gridsOf(ranges, c.bits, c.G);
        const delta = deltaOf(c.matrix, { q: roundToNearest(W, grids), grids });
        for (const [i, d] of delta.entries()) {
          const g = Math.floor(i / c.G);
          const [low, high, s] = [Math.min(0, ranges.low[g]!), Math.max(0, ranges.high[g]!), grids.scales[g]!];
          // z is a whole number, so that the grid is up to half a step off; what f16 takes from s is missing at the ends.
          expect(Math.abs(d)).toBeLessThanOrEqual(s / 2 + Math.max(0, high - low - top * s) + 1e-7 * Math.abs(W[i]!));
        }
      }),
    );
    const one = Float32Array.of(0.5, 0.4375, 0.46875, 0.40625, -3, -2.875, -2.75, -2.9375);
    const grids = gridsOf(rangesOf(one, 1, 8, 4), 4, 4);
    for (const [i, d] of deltaOf({ W: one, N: 1, K: 8 }, { q: roundToNearest(one, grids), grids }).entries())
      expect(Math.abs(d)).toBeLessThanOrEqual(0.51 * grids.scales[i >> 2]!);
  });
});

describe("the search for scales", () => {
  it("never takes scales whose loss on the calibration inputs is above that of plain rounding", () => {
    fc.assert(
      fc.property(arbitraryCase, fc.boolean(), (c, both) => {
        const { matrix } = c;
        const gram = gramOf(c);
        const settings = { ...methods.awq, bits: c.bits, groupSize: c.G, scaleBoth: both, scaleSteps: 8 };
        const s = stages.scales(ops, { linears: [matrix], gram }, settings);
        const plain = sumOf(errorsByTokens(c, nearestDelta(matrix, settings)));
        if (s === null) return;
        const scaled = { ...matrix, W: timesColumns(matrix.W, matrix.K, s) };
        const delta = nearestDelta(scaled, settings).map((d, i) => d / s[i % matrix.K]!);
        expect(sumOf(errorsByTokens(c, delta))).toBeLessThanOrEqual(plain + slack(gram, delta));
      }),
      { numRuns: 30 },
    );
  });

  it("tries AutoAWQ's ratios: s = x̄^r / w̄^(1 − r) over √(largest · smallest), and takes the first of the least losses", () => {
    const x = Float64Array.of(1, 4, 9);
    const w = Float64Array.of(0.25, 0.5, 1);
    const raw = [0, 1, 2].map((k) => Math.sqrt(x[k]!) / (Math.sqrt(w[k]!) + 1e-4));
    const middle = Math.sqrt(Math.max(...raw) * Math.min(...raw));
    expect(scalesOf(x, w, 0.5)).toEqual(Float32Array.from(raw, (s) => s / middle));
    const candidates = candidatesOf(x, w, 4, false);
    expect(candidates.map(({ ratio }) => ratio)).toEqual([null, 0, 1 / 4, 1 / 2, 3 / 4]);
    expect(searchScale(candidates, (s) => (s === candidates[0]!.scales ? 5 : 3)).ratio).toBe(0);
    expect(searchScale(candidates, () => 1).ratio).toBeNull();
    expect(candidatesOf(x, w, 2, true).map(({ scales }) => scales)).toEqual([
      Float32Array.of(1, 1, 1),
      ...[0, 1 / 2].flatMap((r) => [scalesOf(x, w, r), scalesOf(x, null, r)]),
    ]);
  });

  it("finds in heats the least of all losses where shares agree, and never takes what all tokens put above no scales", () => {
    const losses = fc.array(fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50)), { minLength: 1, maxLength: 45 });
    fc.assert(
      fc.property(losses, (all) => {
        const candidates = all.map((_, i) => ({ ratio: i, scales: Float32Array.of(i) }));
        const column = (share: number): number => heats.findIndex((heat) => heat.share === share);
        const agreed = searchScale(candidates, (s) => all[s[0]!]![2]);
        expect(all[agreed.scales[0]!]![2]).toBe(Math.min(...all.map((own) => own[2])));
        const chosen = searchScale(candidates, (s, share) => all[s[0]!]![column(share)]!);
        expect(all[chosen.scales[0]!]![2]).toBeLessThanOrEqual(all[0]![2]);
      }),
    );
  });

  it("judges by texts and tokens spread over all there are: as many tokens as the texts have, each in one part, none longer than a text", () => {
    const given = fc.tuple(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 40 }));
    fc.assert(
      fc.property(given, ([lengths, kept]) => {
        const { texts, parts } = keptPlaces(lengths, kept);
        expect(texts).toHaveLength(Math.min(kept, lengths.length));
        const tokens = parts.flat().sort((a, b) => a - b);
        expect(new Set(tokens).size).toBe(texts.reduce((sum, i) => sum + lengths[i]!, 0));
        const total = lengths.reduce((sum, length) => sum + length, 0);
        for (const [i, token] of tokens.entries()) expect(Math.abs(token - (i * total) / tokens.length)).toBeLessThan(1);
        for (const part of parts) expect(part.length).toBeLessThanOrEqual(Math.max(...lengths, Math.ceil(tokens.length / 16)));
        for (const { share } of heats) expect(new Set(shareOf(parts, share)).size).toBe(Math.max(1, Math.round(share * parts.length)));
      }),
    );
  });

  it("measures weights as AutoAWQ does: the mean over the outputs of |w| over the largest of its group", () => {
    const W = Float32Array.of(1, -2, 3, 6, 2, 2, 8, -4);
    const got = weightMagnitude([{ W, N: 2, K: 4 }], 4, 2);
    for (const [k, value] of [(0.5 + 1) / 2, (1 + 1) / 2, (0.5 + 1) / 2, (1 + 0.5) / 2].entries()) expect(got[k]).toBeCloseTo(value, 5);
  });
});

describe("the search for ranges", () => {
  it("never raises a group's own error, stays within the group's range, and finds what trying everything finds", () => {
    fc.assert(
      fc.property(arbitraryCase, fc.constantFrom("symmetric" as const, "asymmetric" as const), (c, ends) => {
        const { W, N, K } = c.matrix;
        const gram = gramOf(c);
        const whole = rangesOf(W, N, K, c.G);
        const found = searchClip(ops, c.matrix, gram, { bits: c.bits, groupSize: c.G, ends });
        const groups = K / c.G;
        const errorOf = (ranges: Ranges, g: number): number => {
          const delta = deltaOf(c.matrix, { q: roundToNearest(W, gridsOf(ranges, c.bits, c.G)), grids: gridsOf(ranges, c.bits, c.G) });
          const [n, first] = [Math.floor(g / groups), (g % groups) * c.G];
          let error = 0;
          for (let i = first; i < first + c.G; i++)
            for (let j = first; j < first + c.G; j++) error += delta[n * K + i]! * gram.H[i * K + j]! * delta[n * K + j]!;
          return error;
        };
        for (let g = 0; g < N * groups; g++) {
          expect(found.low[g]).toBeGreaterThanOrEqual(whole.low[g]!);
          expect(found.high[g]).toBeLessThanOrEqual(whole.high[g]!);
          const [before, after] = [errorOf(whole, g), errorOf(found, g)];
          expect(after).toBeLessThanOrEqual(before * (1 + 1e-4) + 1e-9);
          if (ends === "asymmetric") continue;
          const largest = Math.max(Math.abs(whole.low[g]!), Math.abs(whole.high[g]!));
          for (let i = 0; i < 10; i++) {
            const share = (1 - i / 20) * largest;
            const low = whole.low.slice();
            const high = whole.high.slice();
            low[g] = Math.max(low[g]!, -share);
            high[g] = Math.min(high[g]!, share);
            expect(after).toBeLessThanOrEqual(errorOf({ low, high }, g) * (1 + 1e-4) + 1e-9);
          }
        }
      }),
      { numRuns: 15 },
    );
  });
});

/** GPTQ from its definition: the inverse of H for the inputs that are left, made anew at each step. */
function bruteForce(
  { matrix: { W, N, K } }: Case,
  H: Float64Array,
  order: ArrayLike<number>,
  grids: Grids,
): { q: Uint8Array; closest: number } {
  const top = 2 ** grids.bits - 1;
  const q = new Uint8Array(N * K);
  let closest = Infinity;
  for (let n = 0; n < N; n++) {
    const w = Float64Array.from(W.subarray(n * K, (n + 1) * K));
    const left = Array.from(order);
    while (left.length > 0) {
      const inverse = inverted(left.map((i) => left.map((j) => H[i * K + j]!)));
      const k = left[0]!;
      const g = Math.floor((n * K + k) / grids.groupSize);
      const step = w[k]! / grids.scales[g]!;
      closest = Math.min(closest, Math.abs(Math.abs(step - Math.trunc(step)) - 0.5));
      const value = Math.min(top, Math.max(0, Math.round(step) + grids.zeros[g]!));
      q[n * K + k] = value;
      const error = (w[k]! - (value - grids.zeros[g]!) * grids.scales[g]!) / inverse[0]![0]!;
      for (const [i, j] of left.entries()) w[j] = w[j]! - error * inverse[0]![i]!;
      left.shift();
    }
  }
  return { q, closest };
}

/** Gauss–Jordan. */
function inverted(a: number[][]): number[][] {
  const n = a.length;
  const m = a.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let i = 0; i < n; i++) {
    const pivot = m[i]![i]!;
    m[i] = m[i]!.map((value) => value / pivot);
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const factor = m[r]![i]!;
      m[r] = m[r]!.map((value, j) => value - factor * m[i]![j]!);
    }
  }
  return m.map((row) => row.slice(n));
}

describe("rounding with error compensation", () => {
  const damping = 0.05;

  it("gives the integers of GPTQ's definition, the inverse made anew for the inputs that are left, in both orders", () => {
    let compared = 0;
    fc.assert(
      fc.property(arbitraryCase, fc.boolean(), (c, falling) => {
        const { K } = c.matrix;
        const gram = gramOf(c);
        const factor = factorOf(ops, gram, damping, falling);
        let trace = 0;
        for (let k = 0; k < K; k++) trace += gram.H[k * K + k]!;
        const H = Float64Array.from(gram.H, (h, i) => h + (i % (K + 1) === 0 ? (damping * trace) / K : 0));
        const grids = wholeGrids(c);
        const { q, closest } = bruteForce(c, H, factor.order, grids);
        // A weight this close to the middle between two values may go either way in f32.
        if (closest < 1e-4) return;
        compared++;
        expect(compensate(ops, c.matrix, factor, grids)).toEqual(q);
      }),
      { numRuns: 30 },
    );
    expect(compared).toBeGreaterThan(10);
  });

  it("has a factor M, lower triangular, with MᵀM = H + λI", () => {
    fc.assert(
      fc.property(arbitraryCase, (c) => {
        const { K } = c.matrix;
        const gram = gramOf(c);
        const { M } = factorOf(ops, gram, damping);
        let trace = 0;
        for (let k = 0; k < K; k++) trace += gram.H[k * K + k]!;
        for (let i = 0; i < K; i++)
          for (let j = 0; j < K; j++) {
            if (j > i) expect(M[i * K + j]).toBe(0);
            let sum = 0;
            for (let k = 0; k < K; k++) sum += M[k * K + i]! * M[k * K + j]!;
            const expected = gram.H[i * K + j]! + (i === j ? (damping * trace) / K : 0);
            expect(Math.abs(sum - expected)).toBeLessThanOrEqual(1e-5 * trace);
          }
      }),
      { numRuns: 30 },
    );
  });

  it("is the same over several blocks of inputs and outputs as input by input", () => {
    const next = numbers(7);
    const [N, K, T, G] = [520, 272, 300, 16];
    const x = Float32Array.from({ length: T * K }, (_, i) => next() * (1 + (i % 5)) + (i % K > 0 ? 0.3 : 0));
    const c: Case = { matrix: { W: Float32Array.from({ length: N * K }, () => next()), N, K }, x, T, G, bits: 4 };
    const gram = gramOf(c);
    const { M } = factorOf(ops, gram, damping);
    const [i, j] = [100, 3];
    for (const [a, b] of [
      [i, j],
      [j, j],
      [260, 130],
      [271, 271],
      [130, 129],
    ] as const) {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += M[k * K + a]! * M[k * K + b]!;
      const trace = gram.H.reduce((total, h, at) => total + (at % (K + 1) === 0 ? h : 0), 0);
      const expected = gram.H[a * K + b]! + (a === b ? (damping * trace) / K : 0);
      expect(Math.abs(sum - expected)).toBeLessThanOrEqual(1e-6 * trace);
    }
    const grids = wholeGrids(c);
    const q = compensate(ops, c.matrix, factorOf(ops, gram, damping), grids);
    let near = 0;
    for (const n of [0, 511, 512, 519]) {
      const errors = new Float64Array(K);
      for (let k = 0; k < K; k++) {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += M[k * K + l]! * errors[l]!;
        const g = Math.floor((n * K + k) / G);
        const step = (c.matrix.W[n * K + k]! + sum / M[k * K + k]!) / grids.scales[g]!;
        // The value that was taken is the nearest, or as near but for the rounding of f32.
        const taken = q[n * K + k]! - grids.zeros[g]!;
        const best = Math.min(15, Math.max(0, Math.round(step) + grids.zeros[g]!)) - grids.zeros[g]!;
        if (taken !== best) near++;
        expect(Math.abs(taken - step)).toBeLessThanOrEqual(Math.abs(best - step) + 1e-3);
        errors[k] = c.matrix.W[n * K + k]! - taken * grids.scales[g]!;
      }
    }
    expect(near).toBeLessThan(3);
  });

  it("refuses moments that no inputs have", () => {
    const H = Float32Array.of(1, 5, 5, 1);
    expect(() => factorOf(ops, { K: 2, H }, 0.01)).toThrow(expect.objectContaining({ code: "range" }));
  });
});

describe("weights that aim at the float model's outputs", () => {
  it("are the least squares: no step away from them lessens the damped error, and without drift they stay", () => {
    fc.assert(
      fc.property(arbitraryCase, fc.nat(), (c, seed) => {
        const { matrix, T, x } = c;
        const { W, N, K } = matrix;
        const next = numbers(seed);
        const damping = 0.05;
        const gram = gramOf(c);
        const float = x.map((value) => value * (1 + 0.2 * next()));
        const lack = Float32Array.from({ length: T * N }, () => next());
        const zero = new Float32Array(T * N);
        const drift = { inputs: makeCrossSums(K, K), residual: makeCrossSums(N, K) };
        addToCross(ops, drift.inputs, float, x, x, T);
        addToCross(ops, drift.residual, lack, zero, x, T);
        const best = corrected(ops, matrix, gram, drift, damping);
        let trace = 0;
        for (let k = 0; k < K; k++) trace += gram.H[k * K + k]!;
        // The gradient of Σ (V x̃ − W x − r)² + λ (V − W)² at V: 0 where V is best.
        for (const n of [0, N - 1]) {
          const residuals = Float64Array.from({ length: T }, (_, t) => {
            let sum = -lack[t * N + n]!;
            for (let k = 0; k < K; k++) sum += best[n * K + k]! * x[t * K + k]! - W[n * K + k]! * float[t * K + k]!;
            return sum;
          });
          for (let k = 0; k < K; k++) {
            let slope = ((damping * trace) / K) * (best[n * K + k]! - W[n * K + k]!);
            let size = 0;
            for (let t = 0; t < T; t++) {
              slope += residuals[t]! * x[t * K + k]!;
              size += Math.abs(residuals[t]! * x[t * K + k]!);
            }
            expect(Math.abs(slope)).toBeLessThanOrEqual(1e-4 * (size + trace) + 1e-6);
          }
        }
        const still = { inputs: makeCrossSums(K, K), residual: null };
        expect(corrected(ops, matrix, gram, still, damping)).toEqual(W);
      }),
      { numRuns: 30 },
    );
  });
});

describe("what comes behind the rounding", () => {
  it("never raises the error: not the descent over integers, not the scales solved anew", () => {
    fc.assert(
      fc.property(arbitraryCase, (c) => {
        const { matrix } = c;
        const gram = gramOf(c);
        const grids = wholeGrids(c);
        let rounded: Rounded = { q: roundToNearest(matrix.W, grids), grids };
        const errorOf = (r: Rounded): number => sumOf(errorsByTokens(c, deltaOf(matrix, r)));
        let before = errorOf(rounded);
        for (const step of [descend, refitScales] as const) {
          const next = step === descend ? descend(ops, matrix, gram, rounded, 4) : refitScales(ops, matrix, gram, rounded);
          const after = errorOf(next);
          expect(after).toBeLessThanOrEqual(before + slack(gram, deltaOf(matrix, rounded)));
          for (const [g, scale] of next.grids.scales.entries()) expect(scale, `group ${g}`).toBeGreaterThan(0);
          for (const value of next.q) expect(value).toBeLessThan(2 ** c.bits);
          [rounded, before] = [next, after];
        }
      }),
      { numRuns: 40 },
    );
  });
});

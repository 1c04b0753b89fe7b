/** Scales, ranges and what judges them, on small random linears, held against plain definitions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keptPlaces, shareOf } from "../../../../../core/quant/search/capture.ts";
import { searchClip } from "../../../../../core/quant/search/clip-search.ts";
import { outputErrors, scaleGram, sumOf } from "../../../../../core/quant/search/gram.ts";
import { gridsOf, type Ranges, rangesOf, roundToNearest } from "../../../../../core/quant/search/grid.ts";
import { candidatesOf, heats, scalesOf, searchScale, weightMagnitude } from "../../../../../core/quant/search/scale-search.ts";
import { methods, nearestDelta, stages, timesColumns } from "../../../../../core/quant/search/stages.ts";
import { numbers } from "../../../fixtures/random-model.ts";
import { arbitraryCase, deltaOf, errorsByTokens, gramOf, ops, slack } from "./cases.ts";

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

/**
 * The bounds themselves, against f32 as WGSL allows it to be: every operation rounded to either neighbour, sums in
 * random trees, products fused or not, built-ins as far off as they may be. True: no such computation leaves its bound.
 * Tight: some come near.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addTerm,
  clearTerms,
  expectAwqMatmul,
  expectRmsNorm,
  expectSiluMul,
  expectSoftmax,
  f64,
  gamma,
  lowestBit,
  makeTerms,
  powerOfTwo,
  sumError,
  ulpF32,
  wgsl,
} from "../../accuracy.ts";
import { recipe, uniform, values } from "../../arbitraries.ts";
import { laws } from "../../laws.ts";

type Round = (exact: number) => number;

/** Either f32 neighbour of a value, by a coin; `up`: always the one further from zero. */
function faithful(next: () => number, up = false): Round {
  return (exact) => {
    const near = Math.fround(exact);
    if (near === exact || !Number.isFinite(near)) return near;
    const unit = ulpF32(exact);
    const other = Math.fround(near > exact ? near - unit : near + unit);
    const far = Math.abs(near) > Math.abs(exact) ? near : other;
    return up ? far : next() < 0.5 ? near : other;
  };
}

/** A sum over a random binary tree. */
function treeSum(terms: readonly number[], round: Round, next: () => number): number {
  const left = [...terms];
  while (left.length > 1) {
    const i = Math.floor(next() * left.length);
    const [a] = left.splice(i, 1);
    const j = Math.floor(next() * left.length);
    left[j] = round(a! + left[j]!);
  }
  return left[0] ?? 0;
}

describe("the bound of a dot product", () => {
  const arbitraryDot = fc.record({ x: recipe(), w: recipe(), length: fc.integer({ min: 1, max: 60 }), seed: fc.nat(), up: fc.boolean() });

  it("holds for any order and any rounding to a neighbour, fused or not", () => {
    fc.assert(
      fc.property(arbitraryDot, ({ x, w, length, seed, up }) => {
        const next = uniform(seed);
        const round = faithful(next, up);
        const [a, b] = [values(x, length), values(w, length)];
        const terms = makeTerms();
        for (let i = 0; i < length; i++) addTerm(terms, a[i]!, b[i]!, wgsl);
        const bound = sumError(terms, wgsl);
        const split = treeSum(
          Array.from(a, (v, i) => round(v * b[i]!)),
          round,
          next,
        );
        let fused = 0;
        for (let i = 0; i < length; i++) fused = round(fused + a[i]! * b[i]!);
        for (const got of [split, fused]) if (Number.isFinite(got)) expect(Math.abs(got - terms.sum)).toBeLessThanOrEqual(bound);
      }),
      { numRuns: 3000, seed: 1 },
    );
  });

  it("is reached within a small factor by sums that grow, rounded upwards", () => {
    const round = faithful(() => 0, true);
    let worst = 0;
    for (let length = 2; length < 40; length++) {
      const terms = makeTerms();
      let sum = 0;
      for (let i = 0; i < length; i++) {
        const v = i === 0 ? 1.5 : Math.fround(2 ** -23 * 1.1);
        addTerm(terms, v, 1, wgsl);
        sum = round(sum + v);
      }
      worst = Math.max(worst, Math.abs(sum - terms.sum) / sumError(terms, wgsl));
    }
    expect(worst).toBeGreaterThan(0.8);
    expect(worst).toBeLessThanOrEqual(1);
  });

  it("is zero where every sum is exact, and no larger than Higham's γ_n Σ|x·w| with underflow set aside", () => {
    fc.assert(
      fc.property(recipe(["integers", "normal", "positive", "cancelling", "mixed"]), fc.integer({ min: 1, max: 100 }), (x, length) => {
        const terms = makeTerms();
        const a = values(x, length);
        for (let i = 0; i < length; i++) addTerm(terms, a[i]!, i % 3, wgsl);
        if (x.kind === "integers") expect(sumError(terms, wgsl)).toBe(0);
        expect(sumError(terms, wgsl)).toBeLessThanOrEqual((gamma(terms.count, wgsl.u) + 2 ** -40) * (terms.positive + terms.negative));
      }),
    );
  });

  it("allows for an operand read as zero even where the sum is exact", () => {
    const terms = makeTerms();
    const [x, w] = [2 ** 30, 3 * 2 ** -130];
    addTerm(terms, x, w, wgsl);
    addTerm(terms, 1, 2 ** -100, wgsl);
    const flushed = 2 ** -100;
    expect(Math.abs(flushed - terms.sum)).toBeGreaterThan(0);
    expect(sumError(terms, wgsl)).toBe(x * w);
  });

  it("is 2⁻²⁹ of itself, or less, in f64", () => {
    const terms = makeTerms();
    const [a, b] = [values({ kind: "normal", exponent: 0, seed: 4 }, 200), values({ kind: "normal", exponent: 0, seed: 5 }, 200)];
    for (let i = 0; i < 200; i++) addTerm(terms, a[i]!, b[i]!, f64);
    const fine = sumError(terms, f64);
    clearTerms(terms);
    for (let i = 0; i < 200; i++) addTerm(terms, a[i]!, b[i]!, wgsl);
    expect(fine).toBeLessThan(sumError(terms, wgsl) * 2 ** -27);
    expect(fine).toBeGreaterThan(0);
  });
});

describe("powerOfTwo", () => {
  it("is 2 ** e of every e that an f64 has, and of those beyond", () => {
    for (let e = -1080; e <= 1030; e++) expect(powerOfTwo(e)).toBe(2 ** e);
  });
});

describe("lowestBit", () => {
  it("divides its argument into an odd number", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: -1000, max: 900 }), (odd, exponent) => {
        const x = (2 * odd + 1) * 2 ** exponent;
        expect(lowestBit(x)).toBe(2 ** exponent);
        expect(lowestBit(-x)).toBe(2 ** exponent);
      }),
    );
  });
});

describe("bounds of ops", () => {
  const steps = fc.record({
    seed: fc.nat(),
    up: fc.boolean(),
    x: recipe(undefined, 6),
    y: recipe(),
    length: fc.integer({ min: 1, max: 40 }),
  });

  /** A built-in as far off as WGSL lets it be, to either side by a coin, rounded to f32. */
  const off = (next: () => number, exact: number, ulps: number): number =>
    Math.fround(exact + (next() < 0.5 ? -1 : 1) * Math.max(0, ulps - 1) * ulpF32(exact));

  it("hold for rms norm with WGSL's worst inverseSqrt and division", () => {
    fc.assert(
      fc.property(steps, ({ seed, up, x, y, length }) => {
        const next = uniform(seed);
        const round = faithful(next, up);
        const [a, w] = [values(x, length), values(y, length)];
        const eps = Math.fround(1e-5);
        const { value, bound } = expectRmsNorm(a, w, eps, 1, wgsl);
        const squares = treeSum(
          Array.from(a, (v) => round(v * v)),
          round,
          next,
        );
        const r = off(next, 1 / Math.sqrt(round(off(next, squares / length, 2.5) + eps)), 2);
        for (let i = 0; i < length; i++) {
          const got = round(round(a[i]! * r) * w[i]!);
          if (bound[i] !== Infinity) expect(Math.abs(got - value[i]!)).toBeLessThanOrEqual(bound[i]!);
        }
      }),
      { numRuns: 2000, seed: 2 },
    );
  });

  it("hold for softmax with WGSL's worst exp and division", () => {
    fc.assert(
      fc.property(steps, ({ seed, up, x, length }) => {
        const next = uniform(seed);
        const round = faithful(next, up);
        const scores = values(x, length);
        const { value, bound } = expectSoftmax(scores, length, wgsl);
        const max = Math.max(...scores);
        const e = Array.from(scores, (v) => {
          const d = round(v - max);
          return off(next, Math.exp(d), 3 + 2 * Math.abs(d));
        });
        const sum = treeSum(e, round, next);
        for (let i = 0; i < length; i++) expect(Math.abs(off(next, e[i]! / sum, 2.5) - value[i]!)).toBeLessThanOrEqual(bound[i]!);
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  it("hold for SiLU with WGSL's worst exp and division, subnormals flushed", () => {
    const flush = (v: number): number => (Math.abs(v) < 2 ** -126 ? 0 : v);
    fc.assert(
      fc.property(steps, ({ seed, up, x, y, length }) => {
        const next = uniform(seed);
        const round = faithful(next, up);
        const [g, u] = [values(x, length), values(y, length)];
        const { value, bound } = expectSiluMul(g, u, length, wgsl);
        for (let i = 0; i < length; i++) {
          const e = flush(off(next, Math.exp(-Math.abs(g[i]!)), 3 + 2 * Math.abs(g[i]!)));
          const sigmoid = off(next, (g[i]! >= 0 ? 1 : e) / round(1 + e), 2.5);
          const got = flush(round(flush(round(flush(g[i]!) * sigmoid)) * flush(u[i]!)));
          expect(Math.abs(got - value[i]!)).toBeLessThanOrEqual(bound[i]!);
        }
      }),
      { numRuns: 2000, seed: 4 },
    );
  });

  it("hold for AWQ with the scale in the weight, on the group's sum, and with the zero point folded out", () => {
    const kit = laws["awq-matmul"]!;
    fc.assert(
      fc.property(kit.spec, fc.nat(), fc.boolean(), (spec, seed, up) => {
        const { x, weight, T } = kit.make({
          ...spec,
          T: 1,
          N: 8,
          groups: Math.min(spec.groups, 2),
          groupSize: Math.min(spec.groupSize, 32),
          bias: null,
        });
        const next = uniform(seed);
        const round = faithful(next, up);
        const K = weight.inFeatures;
        const tight = expectAwqMatmul(x, weight, null, T, wgsl, false);
        const folded = expectAwqMatmul(x, weight, null, T, wgsl, true);
        const { groupSize: G } = weight;
        for (let n = 0; n < 8; n++) {
          const unit = { ...weight };
          const parts = { inWeight: [] as number[], onSum: [] as number[], foldedOut: [] as number[] };
          for (let g = 0; g < K / G; g++) {
            // The op's own oracle on one-hot inputs would be circular: unpack by hand.
            const shift = [0, 16, 4, 20, 8, 24, 12, 28][n]!;
            const z = (unit.qzeros[g]! >>> shift) & 15;
            const s = halfToNumber(unit.scales[g * 8 + n]!);
            const rows = Array.from({ length: G }, (_, i) => ({ x: x[g * G + i]!, q: (unit.qweight[g * G + i]! >>> shift) & 15 }));
            for (const { x: v, q } of rows) parts.inWeight.push(round(v * round(s * (q - z))));
            parts.onSum.push(
              round(
                s *
                  treeSum(
                    rows.map(({ x: v, q }) => round(v * (q - z))),
                    round,
                    next,
                  ),
              ),
            );
            const xq = treeSum(
              rows.map(({ x: v, q }) => round(v * q)),
              round,
              next,
            );
            const sumX = treeSum(
              rows.map(({ x: v }) => v),
              round,
              next,
            );
            parts.foldedOut.push(round(s * round(xq - round(z * sumX))));
          }
          const check = (got: number, { value, bound }: typeof tight): void => {
            if (Number.isFinite(got) && bound[n] !== Infinity) expect(Math.abs(got - value[n]!)).toBeLessThanOrEqual(bound[n]!);
          };
          check(treeSum(parts.inWeight, round, next), tight);
          check(treeSum(parts.onSum, round, next), tight);
          check(treeSum(parts.foldedOut, round, next), folded);
        }
      }),
      { numRuns: 400, seed: 5 },
    );
  });
});

/** An f16 by its definition. */
function halfToNumber(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

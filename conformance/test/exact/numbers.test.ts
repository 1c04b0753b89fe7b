/**
 * Roundings, rows and functions of `exact` against definitions that share no code with them: rationals, bisection, f64.
 * About 4 s.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fixedDistance,
  inverseRoot,
  logInteger,
  powerOfTwo,
  reciprocal,
  reciprocalInteger,
  rootInteger,
  silu,
} from "../../../core/exact/functions.ts";
import { add, bitsOf, clean, LARGEST, mul, nearest, nearestInteger, nearestOfHalves } from "../../../core/exact/numbers.ts";
import { fixedRow } from "../../../core/exact/rows.ts";

const valueAt = (bits: number): number => new Float32Array(new Uint32Array([bits]).buffer)[0]!;

/** Any number of the arithmetic, all exponents alike. */
const anyValue = fc
  .record({ negative: fc.boolean(), exponent: fc.integer({ min: 0, max: 254 }), fraction: fc.integer({ min: 0, max: 2 ** 23 - 1 }) })
  .map(({ negative, exponent, fraction }) => (exponent === 0 ? 0 : (negative ? -1 : 1) * valueAt((exponent << 23) | fraction)));

/** x as N · 2^−149, an integer for every binary32 number. */
const unitsOf = (x: number): bigint => {
  const bits = bitsOf(Math.abs(x));
  const exponent = bits >>> 23;
  const magnitude = exponent === 0 ? 0n : BigInt((bits & 0x7fffff) | 0x800000) << BigInt(exponent - 1);
  return x < 0 ? -magnitude : magnitude;
};

/** The nearest value to N · 2^−(149 + extra), found by bisection over the words and a comparison with the midpoint. */
function bisected(N: bigint, extra: number): number {
  const magnitude = N < 0n ? -N : N;
  const at = (bits: number): bigint => unitsOf(valueAt(bits)) << BigInt(extra + 1);
  const twice = magnitude << 1n;
  let low = 0;
  let high = 0x7f7fffff;
  if (twice >= at(high)) low = high;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (at(middle) <= twice) low = middle;
    else high = middle;
  }
  let rounded = low;
  // Between 0 and the least number: as if significands of 24 bits went on, the border is 2^−126 − 2^−151.
  if (low < 0x800000) rounded = twice << 2n >= ((1n << 25n) - 1n) << BigInt(extra + 1) ? 0x800000 : 0;
  else if (low < 0x7f7fffff) {
    const middle = (at(low) + at(low + 1)) / 2n;
    rounded = twice > middle || (twice === middle && low % 2 === 1) ? low + 1 : low;
  }
  const value = valueAt(rounded);
  return N < 0n && value !== 0 ? -value : value;
}

describe("rounding of exact", () => {
  it("takes sums and products to the nearest value, ties to even, and clamps both ends", () => {
    fc.assert(
      fc.property(anyValue, anyValue, fc.integer({ min: -4, max: 4 }), fc.boolean(), (a, other, ulps, near) => {
        // Half of the pairs nearly cancel.
        const moved = clean(valueAt(Math.max(0, (bitsOf(Math.abs(a)) + ulps) >>> 0)));
        const b = near ? (a > 0 ? -moved : moved) : other;
        expect(Object.is(add(a, b), bisected(unitsOf(a) + unitsOf(b), 0))).toBe(true);
        expect(Object.is(mul(a, b), bisected(unitsOf(a) * unitsOf(b), 149))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it("rounds integers of any size once", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 95n), max: 2n ** 95n }),
        fc.integer({ min: 0, max: 94 }),
        fc.integer({ min: -230, max: 120 }),
        (N, cut, e) => {
          const M = N >> BigInt(cut);
          const expected = e >= -149 ? bisected(M << BigInt(e + 149), 0) : bisected(M, -149 - e);
          expect(Object.is(nearestInteger(M, e), expected)).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("rounds ties of integers to even, and what is a hair off a tie to its side", () => {
    for (let length = 25; length < 96; length++)
      for (const odd of [0n, 1n])
        for (const hair of [-1n, 0n, 1n]) {
          const tie = ((2n ** 23n + odd) << 1n) + 1n;
          const N = (tie << BigInt(length - 25)) + (length > 25 ? hair : 0n);
          expect(nearestInteger(N, -20), `${length} bits`).toBe(bisected(N << 129n, 0));
          expect(nearestInteger(-N, -20)).toBe(-bisected(N << 129n, 0));
        }
  });

  it("is one rounding of two halves", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), fc.integer({ min: -150, max: 60 }), (hi, lo, e) => {
        expect(nearestOfHalves(hi, lo, e)).toBe(nearestInteger(BigInt(hi) * 65536n + BigInt(lo), e));
      }),
    );
  });

  it("lets in no NaN, infinity, subnormal or −0", () => {
    expect([Number.NaN, Infinity, -Infinity, 1e-40, -1e-40, -0, 2 ** -126].map(clean)).toEqual([0, LARGEST, -LARGEST, 0, 0, 0, 2 ** -126]);
    expect(Object.is(nearest(-1e-300), 0)).toBe(true);
  });
});

describe("fixed rows", () => {
  it("stay within their digits, and within half a unit of what they stand for", () => {
    fc.assert(
      fc.property(fc.array(anyValue, { minLength: 1, maxLength: 9 }), fc.constantFrom(24 as const, 32 as const), (x, bits) => {
        const { values, exponent } = fixedRow(x, 0, x.length, bits);
        const shift = BigInt(exponent + 160);
        x.forEach((value, i) => {
          expect(Math.abs(values[i]!)).toBeLessThanOrEqual(127 * 2 ** (bits - 8));
          const difference = 2n * ((unitsOf(value) << 11n) - (BigInt(values[i]!) << shift));
          expect(difference <= 1n << shift && -difference <= 1n << shift).toBe(true);
        });
      }),
      { numRuns: 2000 },
    );
  });

  it("take the least exponent that the largest number allows", () => {
    for (const word of [0x3f7e0000, 0x3f7e0001, 0x3f7dffff, 0x3f800000]) {
      const largest = Math.abs(fixedRow([valueAt(word)], 0, 1, 24).values[0]!);
      expect(largest).toBeGreaterThanOrEqual(127 * 2 ** 15);
      expect(largest).toBeLessThanOrEqual(127 * 2 ** 16);
    }
  });
});

describe("functions of exact", () => {
  it("2^−f is within 2^−26.3, never rises, and meets itself at the ends", () => {
    let last = 2 ** 30;
    let worst = 0;
    let rises = 0;
    for (let f = 0; f < 2 ** 24; f += 61) {
      const y = powerOfTwo(f);
      const real = 2 ** (30 - f / 2 ** 24);
      worst = Math.max(worst, Math.abs(y - real) / real);
      if (y > last) rises++;
      last = y;
    }
    expect(worst).toBeLessThan(2 ** -26.3);
    expect(rises).toBe(0);
    expect(powerOfTwo(0)).toBe(2 ** 30);
    expect(powerOfTwo(2 ** 24 - 1)).toBeGreaterThan(2 ** 29);
  });

  it("quotients and roots are floors", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2 ** 30, max: 2 ** 31 }), fc.integer({ min: 2 ** 24, max: 2 ** 26 - 1 }), (y, M) => {
        expect(BigInt(reciprocalInteger(y))).toBe(2n ** 61n / BigInt(y));
        const s = BigInt(rootInteger(M));
        const N = BigInt(M) << 36n;
        expect(s * s <= N && (s + 1n) * (s + 1n) > N).toBe(true);
      }),
      { numRuns: 2000 },
    );
    for (const y of [2 ** 30, 2 ** 31, 2 ** 31 - 1]) expect(BigInt(reciprocalInteger(y))).toBe(2n ** 61n / BigInt(y));
  });

  it("1/√x and 1/x are within 0.52 units of the last place, x/(1 + e^−x) within 4 + |x|", () => {
    const ulp = (x: number): number => 2 ** (Math.floor(Math.log2(Math.abs(x))) - 23);
    fc.assert(
      fc.property(
        fc.double({ min: 2 ** -60, max: 2 ** 60, noNaN: true }),
        fc.double({ min: -20, max: 20, noNaN: true }),
        (wide, narrow) => {
          const x = Math.fround(wide);
          expect(Math.abs(inverseRoot(x) - 1 / Math.sqrt(x)) / ulp(1 / Math.sqrt(x))).toBeLessThan(0.52);
          expect(Math.abs(reciprocal(x) - 1 / x) / ulp(1 / x)).toBeLessThan(0.52);
          const g = clean(Math.fround(narrow));
          const real = g / (1 + Math.exp(-g));
          if (Math.abs(g) > 1e-30) expect(Math.abs(silu(g) - real) / ulp(real)).toBeLessThan(4 + Math.abs(g));
        },
      ),
      { numRuns: 3000 },
    );
    expect(inverseRoot(0)).toBe(LARGEST);
    expect(silu(-LARGEST)).toBe(0);
    expect(silu(LARGEST)).toBe(LARGEST);
  });

  it("distances end below 64, rounded at 2^−24", () => {
    expect(fixedDistance(0)).toEqual({ whole: 0, fraction: 0 });
    expect(fixedDistance(1.5)).toEqual({ whole: 1, fraction: 2 ** 23 });
    expect(fixedDistance(2 ** -25)).toEqual({ whole: 0, fraction: 1 });
    expect(fixedDistance(LARGEST)).toEqual({ whole: 63, fraction: 2 ** 24 - 1 });
  });

  it("log₂ of an integer is at most 2^−24 + 2^−29 below the real one, never above, and exact for powers", () => {
    for (let i = 0; i < 64; i++) expect(logInteger(1n << BigInt(i))).toBe(i * 2 ** 24);
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 53n }), fc.integer({ min: 0, max: 10 }), (N, up) => {
        const real = Math.log2(Number(N)) + up;
        const got = logInteger(N << BigInt(up)) * 2 ** -24;
        expect(got).toBeLessThanOrEqual(real + 2 ** -44);
        expect(real - got).toBeLessThan(2 ** -24 + 2 ** -29);
      }),
      { numRuns: 2000 },
    );
  });
});

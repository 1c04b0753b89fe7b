/**
 * Laws of the block fixed point and of the linear on it; the WGSL of both is held to them by the kits awq-block-sums
 * and awq-matmul-fixed16.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { f16Values } from "../../../../core/dtype.ts";
import { GureumError } from "../../../../core/errors.ts";
import { awqBlockSums, awqMatmulFixed16 } from "../../../../core/ops/awq-matmul-fixed16.ts";
import { dequantizeFixed16, FIXED16_BLOCK, FIXED16_MAX, packFixed16Digits, quantizeFixed16 } from "../../../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../../../core/tensor.ts";
import { awqMatrix, awqSpec } from "../../../cases/matrices.ts";

const B = FIXED16_BLOCK;
/** Any finite f32 by its bits, and values near each other as activations are. */
const anyFloat = fc.integer({ min: 0, max: 0xffffffff }).map((bits) => {
  const value = new Float32Array(Uint32Array.of(bits).buffer)[0]!;
  return Number.isFinite(value) ? value : Math.fround(bits / 2 ** 20);
});
const usualFloat = fc.double({ min: -8, max: 8, noNaN: true }).map(Math.fround);
const block = fc.oneof(
  fc.array(anyFloat, { minLength: B, maxLength: B }),
  fc.array(usualFloat, { minLength: B, maxLength: B }),
  // One outlier at the edge where the exponent steps up, the rest small.
  fc
    .tuple(
      fc.array(usualFloat, { minLength: B - 1, maxLength: B - 1 }),
      fc.integer({ min: -140, max: 127 }),
      fc.integer({ min: -2, max: 2 }),
    )
    .map(([rest, e, ulps]) => {
      const edge = new Float32Array([1.984375 * 2 ** e]);
      const bits = new Uint32Array(edge.buffer);
      bits[0]! += ulps;
      return [...rest.map((x) => Math.fround(x * 2 ** (e - 4))), Number.isFinite(edge[0]!) ? edge[0]! : 1];
    }),
);

describe("fixed16", () => {
  it("errs by at most half a step, which is less than the block's largest |x| over 32512, or 2^-103", () => {
    fc.assert(
      fc.property(block, (xs) => {
        const a = quantizeFixed16(Float32Array.from(xs), 1, B);
        const largest = Math.max(...xs.map(Math.abs));
        const step = a.scales[0]!;
        expect(step / 2).toBeLessThanOrEqual(Math.max(largest / FIXED16_MAX, 2 ** -103));
        xs.forEach((x, i) => {
          expect(Math.abs(a.values[i]!)).toBeLessThanOrEqual(FIXED16_MAX);
          expect(Math.abs(x - a.values[i]! * step)).toBeLessThanOrEqual(step / 2);
        });
      }),
    );
  });

  it("takes the smallest step for which the block fits", () => {
    fc.assert(
      fc.property(block, (xs) => {
        const step = quantizeFixed16(Float32Array.from(xs), 1, B).scales[0]!;
        const largest = Math.max(...xs.map(Math.abs));
        expect(largest).toBeLessThanOrEqual(FIXED16_MAX * step);
        expect(step === 2 ** -102 || largest > (FIXED16_MAX * step) / 2).toBe(true);
      }),
    );
  });

  it("changes nothing in what it made: quantize ∘ dequantize keeps every value", () => {
    fc.assert(
      fc.property(block, (xs) => {
        const a = quantizeFixed16(Float32Array.from(xs), 1, B);
        const x = dequantizeFixed16(a);
        expect(dequantizeFixed16(quantizeFixed16(x, 1, B))).toEqual(x);
      }),
    );
  });

  it("scales by powers of two: twice the input, twice the step, the same integers", () => {
    fc.assert(
      fc.property(fc.array(usualFloat, { minLength: B, maxLength: B }), fc.integer({ min: -40, max: 60 }), (xs, e) => {
        fc.pre(xs.some((x) => Math.abs(x) > 2 ** -20));
        const a = quantizeFixed16(Float32Array.from(xs), 1, B);
        const scaled = Float32Array.from(xs, (x) => x * 2 ** e);
        fc.pre(xs.every((x, i) => scaled[i]! / 2 ** e === x));
        const b = quantizeFixed16(scaled, 1, B);
        expect(b.values).toEqual(a.values);
        expect(b.scales[0]).toBe(a.scales[0]! * 2 ** e);
      }),
    );
  });

  it("marks a block that holds NaN or an infinity, and only that block", () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const x = new Float32Array(3 * B).fill(1);
      x[B + 5] = bad;
      const a = quantizeFixed16(x, 1, 3 * B);
      expect([...a.scales].map(Number.isNaN)).toEqual([false, true, false]);
      expect(a.values.subarray(B, 2 * B).every((v) => v === 0)).toBe(true);
    }
  });

  it("digits recombine: 256 hi + lo = v", () => {
    fc.assert(
      fc.property(block, (xs) => {
        const a = quantizeFixed16(Float32Array.from([...xs, ...xs.toReversed()]), 1, 2 * B);
        const words = packFixed16Digits(a, 0);
        const byte = (plane: number, k: number): number => {
          const w = (k % B) >> 2;
          return (words[4 * ((plane + (w >> 2)) * 2 + Math.floor(k / B)) + (w & 3)]! >>> (8 * (k & 3))) & 255;
        };
        for (let k = 0; k < 2 * B; k++) expect((((byte(0, k) << 24) >> 24) << 8) + byte(2, k)).toBe(a.values[k]);
      }),
    );
  });

  it("refuses a length that is no multiple of the block", () => {
    expect(() => quantizeFixed16(new Float32Array(33), 1, 33)).toThrow(GureumError);
    expect(() => quantizeFixed16(new Float32Array(31), 1, 32)).toThrow(/elements/);
  });
});

/** K = groups · G; few distinct ones, since each is a pipeline on the GPU. */
const linearCase = fc
  .record({
    groups: fc.constantFrom(1, 3),
    G: fc.constantFrom(32, 128),
    N: fc.constantFrom(8, 16, 24),
    weight: awqSpec,
    e: fc.integer({ min: -12, max: 12 }),
  })
  .chain(({ groups, G, N, weight, e }) =>
    fc.record({
      weight: fc.constant(awqMatrix(weight, groups * G, N, G)),
      x: fc.array(usualFloat, { minLength: groups * G, maxLength: groups * G }).map((xs) => Float32Array.from(xs, (x) => x * 2 ** e)),
    }),
  );

/** Element (k, n) of the weight over its scale, and the scale. */
function element({ outFeatures: N, groupSize: G, qweight, qzeros, scales }: AwqMatrix, k: number, n: number): [number, number] {
  const shift = [0, 16, 4, 20, 8, 24, 12, 28][n & 7]!;
  const g = Math.floor(k / G);
  const nibble = (words: Int32Array, row: number): number => (words[(row * N + n) >> 3]! >>> shift) & 15;
  return [nibble(qweight, k) - nibble(qzeros, g), f16Values()[scales[g * N + n]!]!];
}

describe("awq-matmul-fixed16", () => {
  it("is the exact product of the quantized activations but for the roundings of its join", () => {
    fc.assert(
      fc.property(linearCase, ({ x, weight }) => {
        const { inFeatures: K, outFeatures: N } = weight;
        const a = quantizeFixed16(x, 1, K);
        const rounded = dequantizeFixed16(a);
        const out = new Float32Array(N);
        awqMatmulFixed16(out, a, weight, null);
        // K/32 products and as many additions, each rounded once: γ_n with n = K/32 + 1 over the blocks' magnitudes.
        const n = K / B + 1;
        const gamma = (n * 2 ** -24) / (1 - n * 2 ** -24);
        for (let c = 0; c < N; c++) {
          let exact = 0;
          let magnitude = 0;
          let quantization = 0;
          let ideal = 0;
          for (let b = 0; b < K / B; b++) {
            let sum = 0;
            for (let k = b * B; k < (b + 1) * B; k++) {
              const [q, s] = element(weight, k, c);
              sum += rounded[k]! * q * s;
              ideal += x[k]! * q * s;
              quantization += (a.scales[b]! / 2) * Math.abs(q * s);
            }
            exact += sum;
            magnitude += Math.abs(sum);
          }
          // f64 references carry their own error, below 2^-53 · 2K of the magnitudes that they add.
          const reference = 2 * K * 2 ** -53 * (magnitude + K * 15 * Math.max(...a.scales) * FIXED16_MAX * 2 ** 16);
          if (!Number.isFinite(exact)) continue;
          expect(Math.abs(out[c]! - exact)).toBeLessThanOrEqual(gamma * magnitude + reference);
          expect(Math.abs(out[c]! - ideal)).toBeLessThanOrEqual(gamma * magnitude + quantization + reference);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("refuses a weight of another inner dimension", () => {
    const weight = awqMatrix({ q: "random", z: "random", scales: "usual", seed: 1 }, 64, 8, 32);
    expect(() => awqBlockSums(quantizeFixed16(new Float32Array(32), 1, 32), weight)).toThrow(/inner dimension/);
  });
});

/** Steps of `exact` on the CPU against integers of any size and against f64. About 5 s. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LlamaConfig, RopeScaling } from "../../../core/config.ts";
import { f16Values } from "../../../core/dtype.ts";
import { exactLinear, linear } from "../../../core/exact/linear.ts";
import { clean, nearestInteger } from "../../../core/exact/numbers.ts";
import { exactRopeTables, scoreFactor } from "../../../core/exact/rope.ts";
import { fixedRow } from "../../../core/exact/rows.ts";
import { exactSampler, logProbability, sample } from "../../../core/exact/sample.ts";
import { ropeTables } from "../../../core/ops/rope.ts";
import { logProbability as floatLogProbability, sample as floatSample, greedy } from "../../../core/sample/sampler.ts";
import type { AwqMatrix } from "../../../core/tensor.ts";
import { numbers, randomAwq, randomDense } from "../fixtures/random-model.ts";

/** x of very different sizes: plain, all one size, with outliers, near both ends of the range. */
const rowKinds: readonly ((next: () => number, i: number) => number)[] = [
  (next) => next(),
  (next, i) => (i % 37 === 5 ? 1e6 : 1e-3) * next(),
  (next) => next() * 2 ** Math.round(120 * next()),
  (next) => (next() < 0 ? -1 : 1) * 3.4e38,
  (next) => (next() < 0 ? -1 : 1) * 2 ** -126,
  () => 0,
];

describe("linear layers of exact", () => {
  it("are the integer sum, rounded once, whatever the sizes: int4", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(8, 32, 128),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(24 as const, 32 as const),
        (seed, G, groups, bits) => {
          const next = numbers(seed >>> 0);
          const [K, N] = [G * groups, 8];
          const anyScale = (): number => {
            const word = Math.floor((next() + 1) * 32768);
            return (word & 0x7c00) === 0x7c00 ? word & 0x83ff : word;
          };
          const typical = randomAwq(N, K, G, next);
          const weight: AwqMatrix = seed % 3 === 0 ? { ...typical, scales: typical.scales.map(anyScale) } : typical;
          for (const kind of rowKinds) {
            const x = Float32Array.from({ length: K }, (_, i) => clean(Math.fround(kind(next, i))));
            const out = new Float32Array(N);
            linear(out, x, exactLinear({ weight, bias: null }), 1, bits);
            const { values, exponent } = fixedRow(x, 0, K, bits);
            for (let n = 0; n < N; n++) {
              const shift = 4 * [0, 4, 1, 5, 2, 6, 3, 7][n]!;
              let sum = 0n;
              for (let k = 0; k < K; k++) {
                const q = (weight.qweight[(k * N + n) >> 3]! >>> shift) & 15;
                const z = (weight.qzeros[(Math.floor(k / G) * N + n) >> 3]! >>> shift) & 15;
                sum += BigInt(values[k]! * (q - z)) * BigInt(f16Values()[weight.scales[Math.floor(k / G) * N + n]!]! * 2 ** 24);
              }
              expect(out[n]).toBe(nearestInteger(sum, exponent - 24));
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("are the integer sum, rounded once, whatever the sizes: dense", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 300 }), fc.constantFrom(24 as const, 32 as const), (seed, K, bits) => {
        const next = numbers(seed >>> 0);
        const N = rowKinds.length;
        const weight = randomDense(N, K, next);
        rowKinds.forEach((kind, n) => {
          for (let k = 0; k < K; k++) weight.data[n * K + k] = kind(next, k);
        });
        const prepared = exactLinear({ weight, bias: null });
        for (const kind of rowKinds) {
          const x = Float32Array.from({ length: K }, (_, i) => clean(Math.fround(kind(next, i))));
          const out = new Float32Array(N);
          linear(out, x, prepared, 1, bits);
          const { values, exponent } = fixedRow(x, 0, K, bits);
          for (let n = 0; n < N; n++) {
            const row = fixedRow(Array.from(weight.data.subarray(n * K, (n + 1) * K), clean), 0, K, 24);
            let sum = 0n;
            for (let k = 0; k < K; k++) sum += BigInt(values[k]!) * BigInt(row.values[k]!);
            expect(out[n]).toBe(nearestInteger(sum, exponent + row.exponent));
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

const yarn = {
  type: "yarn",
  factor: 4,
  originalMaxPositionEmbeddings: 64,
  betaFast: 32,
  betaSlow: 1,
  attentionFactor: 1,
  truncate: true,
} as const;

describe("rotary tables of exact", () => {
  const scalings: readonly RopeScaling[] = [
    { type: "none" },
    { type: "linear", factor: 2.5 },
    { type: "dynamic", factor: 2, originalMaxPositionEmbeddings: 16 },
    { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 64 },
    { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 64, betaFast: 32, betaSlow: 1, attentionFactor: 1.138629436, truncate: true },
    { type: "yarn", factor: 16, originalMaxPositionEmbeddings: 8, betaFast: 4, betaSlow: 1, attentionFactor: 1, truncate: false },
  ];

  it.each(scalings)("are what f64 gives, to the last place of binary32: $type", (ropeScaling) => {
    for (const [headDim, ropeTheta] of [
      [32, 10000],
      [128, 500000],
      [6, 1e6],
    ] as const) {
      const config: Pick<LlamaConfig, "headDim" | "ropeTheta" | "ropeScaling" | "maxPositionEmbeddings"> = {
        headDim,
        ropeTheta,
        ropeScaling,
        maxPositionEmbeddings: 64,
      };
      const positions = 130;
      const real = ropeTables(config, positions);
      const exact = exactRopeTables(config, positions);
      const factor = ropeScaling.type === "yarn" ? Math.fround(ropeScaling.attentionFactor) / ropeScaling.attentionFactor : 1;
      let differ = 0;
      for (const name of ["cos", "sin"] as const)
        for (let i = 0; i < exact[name].length; i++) {
          const expected = real[name][i]! * factor;
          // f64 angles are off by 2^−53 of up to 130: a little more than the last place of an f64 near 1.
          expect(Math.abs(exact[name][i]! - expected)).toBeLessThan(Math.abs(expected) * 2 ** -24 + 2 ** -44);
          if (exact[name][i] !== Math.fround(expected)) differ++;
        }
      expect(differ).toBeLessThan(exact.cos.length / 500);
    }
  });

  it("refuse an attention factor too close to a tie", () => {
    const config = { headDim: 8, ropeTheta: 10000, ropeScaling: { ...yarn, attentionFactor: 1 + 2 ** -24 } };
    expect(() => exactRopeTables(config, 2)).toThrow("rope_scaling.attention_factor");
  });

  it.each<[string, number, RopeScaling]>([
    ["rope_theta", 1e-50, { type: "none" }],
    ["rope_theta", 1e-310, { type: "none" }],
    ["rope_scaling.factor", 1e4, { type: "linear", factor: 1e-45 }],
    ["rope_scaling.factor", 1e4, { type: "llama3", factor: 1e-40, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 64 }],
    ["rope_scaling.factor", 1e4, { ...yarn, factor: 1e-40 }],
    ["rope_scaling.beta_fast", 1e4, { ...yarn, betaFast: 1e-60 }],
    ["rope_scaling.beta_fast", 1e4, { ...yarn, betaFast: 1e60 }],
    ["rope_scaling.beta_slow", 1e4, { ...yarn, betaSlow: 1e-60 }],
    ["rope_scaling.attention_factor", 1e4, { ...yarn, attentionFactor: 1e39 }],
  ])("refuse %s that no real model has: %d, %o", (where, ropeTheta, ropeScaling) => {
    expect(() => exactRopeTables({ headDim: 8, ropeTheta, ropeScaling }, 2)).toThrow(`${where}: rotary tables of the arithmetic exact`);
  });

  it("have the score factor of each head size", () => {
    for (const headDim of [2, 6, 16, 64, 80, 96, 128, 256]) expect(scoreFactor(headDim)).toBe(Math.fround(Math.LOG2E / Math.sqrt(headDim)));
  });
});

describe("the sampler of exact", () => {
  const options = [
    { ...greedy },
    { ...greedy, temperature: 1 },
    { ...greedy, temperature: 0.7, topK: 5 },
    { ...greedy, temperature: 1.3, topP: 0.8, repetitionPenalty: 1.4 },
    { ...greedy, temperature: 1, minP: 0.05, topK: 20, topP: 0.95 },
  ];

  it("draws what the sampler in f64 draws, but for one draw in ten thousand", () => {
    let differ = 0;
    for (let seed = 0; seed < 400; seed++) {
      const next = numbers(seed);
      const logits = Float32Array.from({ length: 200 }, () => 6 * next());
      for (const option of options) {
        const given = { ...option, seed: BigInt(seed) };
        if (sample(logits, given, [1, 2, 3], seed) !== floatSample(logits, given, [1, 2, 3], seed)) differ++;
      }
    }
    expect(differ).toBeLessThanOrEqual(1);
  });

  it("draws the likeliest of a share below 2^−32, which its integers do not hold", () => {
    for (const topP of [2 ** -32, 2 ** -33, 1e-10, 1e-300])
      for (const topK of [0, 2])
        expect(sample(Float32Array.of(0, 1, 2, 2, 1), { ...greedy, temperature: 1, topP, topK, seed: 5n }, [], 3), `${topP}`).toBe(2);
  });

  it("gives the vectors of docs/sampling.md", () => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.4], Math.log);
    const draw = (option: Partial<typeof greedy>): number[] =>
      Array.from({ length: 10 }, (_, position) => sample(logits, { ...greedy, temperature: 1, seed: 1n, ...option }, [3], position));
    expect(draw({})).toEqual([3, 0, 0, 3, 2, 2, 2, 3, 3, 3]);
    expect(draw({ topK: 2 })).toEqual([3, 2, 2, 3, 2, 3, 3, 3, 3, 3]);
    expect(draw({ topP: 0.6 })).toEqual([3, 2, 2, 3, 2, 3, 3, 3, 3, 3]);
    expect(draw({ minP: 0.6 })).toEqual([3, 2, 2, 3, 2, 3, 3, 3, 3, 3]);
    expect(draw({ repetitionPenalty: 2 })).toEqual([2, 0, 0, 3, 1, 2, 2, 2, 2, 2]);
  });

  it("gives log-probabilities within 2^−22 of f64's, far ids too", () => {
    const next = numbers(9);
    const logits = Float32Array.from({ length: 500 }, (_, i) => (i === 7 ? -300 : 8 * next()));
    for (let id = 0; id < 500; id++)
      expect(Math.abs(logProbability(logits, id) - floatLogProbability(logits, id))).toBeLessThan(2 ** -22 + 2 ** -22 * (8 - logits[id]!));
    expect(exactSampler.topLogProbabilities(logits, 3).map(({ id }) => id)).toEqual(
      Array.from(logits.keys())
        .sort((a, b) => logits[b]! - logits[a]!)
        .slice(0, 3),
    );
  });
});

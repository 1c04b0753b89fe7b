/** Rounding that makes up for its errors and what comes behind it, on small random linears, held against plain definitions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compensate, factorOf } from "../../../../../core/quant/search/compensate.ts";
import { addToCross, corrected, makeCrossSums } from "../../../../../core/quant/search/correct.ts";
import { descend, type Rounded, refitScales } from "../../../../../core/quant/search/descend.ts";
import { sumOf } from "../../../../../core/quant/search/gram.ts";
import { type Grids, roundToNearest } from "../../../../../core/quant/search/grid.ts";
import { numbers } from "../../../fixtures/random-model.ts";
import { arbitraryCase, type Case, deltaOf, errorsByTokens, gramOf, ops, slack, wholeGrids } from "./cases.ts";

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

/** Products for quantizing and training: on the device, and through the thread that holds it. */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { FloatDType } from "../../../core/dtype.ts";
import { f16Bits } from "../../../core/dtype.ts";
import { nodeThreads } from "../../../core/host/node-threads.ts";
import { referenceOps } from "../../../core/model/ops.ts";
import { searchClip } from "../../../core/quant/search/clip-search.ts";
import { addToGram, finishGram, makeGramSums } from "../../../core/quant/search/gram.ts";
import { gridsOf, type Ranges, rangesOf, roundToNearest, valuesOf } from "../../../core/quant/search/grid.ts";
import { methods, stages, timesColumns } from "../../../core/quant/search/stages.ts";
import { makeProducts } from "../../../gpu/model/products.ts";
import { gpuOps } from "../../../products.ts";
import { numbers } from "../fixtures/random-model.ts";
import { testDevice } from "./device.ts";

const gpu = await testDevice();
const products = makeProducts(gpu);
afterAll(() => products.close());

const random = (next: () => number, length: number): Float32Array<ArrayBuffer> => Float32Array.from({ length }, () => next());

/** Of sums of K products of numbers in −1 … 1 in f32, in any order. */
const bound = (K: number): number => 2 ** -24 * K * K;

describe("products on a device", () => {
  it("are the sums that f64 gives, within what f32 may lose, of any number of rows and columns", async () => {
    const shapes = fc.record({
      rows: fc.integer({ min: 1, max: 140 }),
      N: fc.integer({ min: 1, max: 150 }),
      steps: fc.integer({ min: 1, max: 5 }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ rows, N, steps, seed }) => {
        const [next, K] = [numbers(seed), 16 * steps];
        const [x, y] = [random(next, rows * K), random(next, N * K)];
        const out = new Float32Array(rows * N);
        await products.product(out, x, { dtype: "F32", data: y }, rows, N, K);
        for (let r = 0; r < rows; r++)
          for (let n = 0; n < N; n++) {
            let sum = 0;
            for (let k = 0; k < K; k++) sum += x[r * K + k]! * y[n * K + k]!;
            if (!(Math.abs(out[r * N + n]! - sum) <= bound(K))) expect(out[r * N + n]).toBe(sum);
          }
      }),
      { numRuns: 8 },
    );
  });

  it("keep a matrix under its number until it is dropped", async () => {
    const next = numbers(5);
    const [x, y, other] = [random(next, 16), random(next, 32), random(next, 32)];
    const ask = async (data: Float32Array<ArrayBuffer>): Promise<number[]> => {
      const out = new Float32Array(2);
      await products.product(out, x, { dtype: "F32", data, key: 7 }, 1, 2, 16);
      return [...out];
    };
    const first = await ask(y);
    expect(await ask(new Float32Array(0))).toEqual(first);
    products.drop(7);
    expect(await ask(other)).not.toEqual(first);
  });

  it("are refused where K has no steps of 16", async () => {
    await expect(
      products.product(new Float32Array(1), new Float32Array(8), { dtype: "F32", data: new Float32Array(8) }, 1, 1, 8),
    ).rejects.toThrow("K");
  });
});

describe("the search on a device", () => {
  const [N, K, G, bits] = [24, 96, 32, 4] as const;
  const grid = { N, K, G, bits };
  /** Weights with outliers, so that cutting pays, and inputs some of which are larger. */
  const weights = (next: () => number): Float32Array<ArrayBuffer> => Float32Array.from({ length: N * K }, () => next() ** 5);

  it("rounds weights behind scales as the CPU does, but for ties", async () => {
    const next = numbers(21);
    const W = weights(next);
    const s = Float32Array.from({ length: K }, () => Math.exp(next()));
    await products.behindScales(31, { dtype: "F32", data: W, key: 30 }, s, grid);
    const unit = new Float32Array(K * K);
    for (let k = 0; k < K; k++) unit[k * K + k] = 1;
    const columns = new Float32Array(K * N);
    await products.product(columns, unit, { dtype: "F32", data: new Float32Array(0), key: 31 }, K, N, K);
    const scaled = timesColumns(W, K, s);
    const grids = gridsOf(rangesOf(scaled, N, K, G), bits, G);
    const right = valuesOf(roundToNearest(scaled, grids), grids);
    let other = 0;
    for (let n = 0; n < N; n++)
      for (let k = 0; k < K; k++) {
        const off = Math.abs(columns[k * N + n]! - right[n * K + k]! / s[k]!);
        const step = grids.scales[Math.floor((n * K + k) / G)]! / s[k]!;
        expect(off).toBeLessThan(1.001 * step);
        if (off > 0.001 * step) other++;
      }
    expect(other).toBeLessThan(0.01 * N * K);
    products.drop(30);
    products.drop(31);
  });

  it.each([false, true])("cuts ranges as well as the CPU does (each end on its own: %s)", async (asymmetric) => {
    const next = numbers(22);
    const W = weights(next);
    const sums = makeGramSums(K);
    const x = Float32Array.from({ length: 200 * K }, (_, i) => next() * Math.exp(2 * Math.sin(i % K)));
    addToGram(referenceOps, sums, x, 200);
    const gram = finishGram(referenceOps, sums);
    const blocks = Float32Array.from({ length: K * G }, (_, i) => gram.H[Math.floor(i / G) * K + Math.floor(i / G / G) * G + (i % G)]!);
    const { low, high } = rangesOf(W, N, K, G);
    const whole = Float32Array.from({ length: 2 * low.length }, (_, i) => (i % 2 === 0 ? low : high)[i >> 1]!);
    const best = new Float32Array(4 * low.length);
    await products.clip(best, { dtype: "F32", data: W, key: 40 }, blocks, whole, grid, asymmetric);
    products.drop(40);
    const lossOf = (ranges: Ranges): number => {
      const grids = gridsOf(ranges, bits, G);
      const delta = valuesOf(roundToNearest(W, grids), grids);
      let loss = 0;
      for (let g = 0; g < low.length; g++)
        for (let i = 0; i < G; i++)
          for (let j = 0; j < G; j++) {
            const [a, b] = [g * G + i, g * G + j];
            loss += (delta[a]! - W[a]!) * blocks[((g * G) % K) * G + i * G + j]! * (delta[b]! - W[b]!);
          }
      return loss;
    };
    const given: Ranges = { low: low.map((_, g) => best[4 * g]!), high: low.map((_, g) => best[4 * g + 1]!) };
    const right = searchClip(referenceOps, { W, N, K }, gram, { bits, groupSize: G, ends: asymmetric ? "asymmetric" : "symmetric" });
    expect(lossOf(given)).toBeLessThan(1.002 * lossOf(right));
    expect(lossOf(given)).toBeLessThan(0.9 * lossOf({ low, high }));
  });
});

describe("ops with a device", () => {
  it("give the CPU's linears within f32's bound, small ones and large, f32 and 16 bits, with biases, K of any length", () => {
    const ops = gpuOps(referenceOps, nodeThreads());
    try {
      const next = numbers(9);
      const T = 200;
      for (const [dtype, N, K] of [
        ["F32", 250, 211],
        ["F16", 256, 203],
        ["F16", 8, 16],
      ] as readonly [FloatDType, number, number][]) {
        const values = random(next, N * K);
        const data = dtype === "F32" ? values : Uint16Array.from(values, f16Bits);
        const weight = { kind: "dense", dtype, outFeatures: N, inFeatures: K, data } as const;
        const bias = random(next, N);
        for (let turn = 0; turn < 2; turn++) {
          const x = random(next, T * K);
          const [got, right] = [new Float32Array(T * N), new Float32Array(T * N)];
          ops.linear(got, x, { weight, bias }, T);
          referenceOps.linear(right, x, { weight, bias }, T);
          expect(Math.max(...got.map((value, i) => Math.abs(value - right[i]!)))).toBeLessThan(bound(K));
        }
      }
      // What the search takes through the thread: a linear of weights that only the device has, and ranges.
      const [N, K, groupSize, bits] = [256, 256, 128, 4] as const;
      const W = random(next, N * K).map((w) => w ** 3);
      const s = Float32Array.from({ length: K }, () => Math.exp(next()));
      const x = random(next, T * K);
      const outputs = new Float32Array(T * N);
      const weight = ops.search!.behindScales({ W, N, K, groupSize, bits }, s)!;
      ops.linear(outputs, x, { weight, bias: null }, T);
      const scaled = timesColumns(W, K, s);
      const grids = gridsOf(rangesOf(scaled, N, K, groupSize), bits, groupSize);
      const data = valuesOf(roundToNearest(scaled, grids), grids).map((value, i) => value / s[i % K]!);
      const right = new Float32Array(T * N);
      referenceOps.linear(right, x, { weight: { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data }, bias: null }, T);
      const far = outputs.filter((value, i) => Math.abs(value - right[i]!) > 1e-3).length;
      expect(far).toBeLessThan(0.05 * outputs.length);
      const sums = makeGramSums(K);
      addToGram(referenceOps, sums, x, T);
      const gram = finishGram(referenceOps, sums);
      const settings = { ...methods.awq, bits, groupSize };
      const [cut, known] = [ops, referenceOps].map((one) => stages.ranges(one, "upProj", { W, N, K }, gram, settings));
      const same = cut!.low.filter((low, g) => Math.abs(low - known!.low[g]!) < 1e-5 && Math.abs(cut!.high[g]! - known!.high[g]!) < 1e-5);
      expect(same.length).toBeGreaterThan(0.97 * cut!.low.length);
    } finally {
      ops.dispose();
    }
  });
});

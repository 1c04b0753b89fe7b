/** Stages of a caller's own, and what they give. */
import { describe, expect, it } from "vitest";
import { referenceOps as ops } from "../../../../../core/model/ops.ts";
import { addToGram, finishGram, makeGramSums } from "../../../../../core/quant/search/gram.ts";
import { gridsOf, rangesOf } from "../../../../../core/quant/search/grid.ts";
import { stagesWith } from "../../../../../core/quant/search/settings.ts";
import { methods, type Stages, stages } from "../../../../../core/quant/search/stages.ts";

const [N, K, G] = [8, 16, 8];
const settings = { ...methods.awq, bits: 4, groupSize: G } as const;
const matrix = { N, K, W: Float32Array.from({ length: N * K }, (_, i) => Math.sin(i)) };
const sums = makeGramSums(K);
addToGram(
  ops,
  sums,
  Float32Array.from({ length: 4 * K }, (_, i) => Math.cos(i)),
  4,
);
const gram = finishGram(ops, sums);
const group = { linears: [matrix], gram };
const grids = gridsOf(rangesOf(matrix.W, N, K, G), 4, G);
const factor = (): never => expect.fail("not asked for");

describe("stages of a caller's own", () => {
  it("stand in for the built-in ones, one by one", () => {
    const twos = new Float32Array(K).fill(2);
    const own = stagesWith({ scales: () => twos });
    expect(own.scales(ops, group, settings)).toBe(twos);
    expect(stagesWith({ scales: () => null }).scales(ops, group, settings)).toBe(null);
    expect(own.ranges(ops, "vProj", matrix, gram, settings)).toEqual(stages.ranges(ops, "vProj", matrix, gram, settings));
    expect(own.round(ops, "vProj", matrix, gram, grids, factor, settings)).toEqual(
      stages.round(ops, "vProj", matrix, gram, grids, factor, settings),
    );
  });

  const numbers = (x: number, length = (N * K) / G) => new Float64Array(length).fill(x);
  const integers = (x: number, length: number) => new Uint8Array(length).fill(x);
  const gave = (given: unknown) => (() => given) as never;
  it.each<[string, Partial<Stages>, RegExp]>([
    ["too few scales", { scales: gave(new Float32Array(3)) }, /^stage scales: s, expected Float32Array of 16 .*, got 3$/],
    ["a scale of 0", { scales: gave(new Float32Array(K)) }, /got 0 at 0$/],
    ["a scale that is NaN", { scales: gave(new Float32Array(K).fill(Number.NaN)) }, /got NaN at 0$/],
    ["nothing", { scales: gave(undefined) }, /got undefined$/],
    ["a promise", { scales: gave(Promise.resolve(null)) }, /got a promise$/],
    ["no ranges", { ranges: gave(undefined) }, /^stage ranges: low, expected Float64Array of 16 finite numbers, got undefined$/],
    ["an infinite range", { ranges: gave({ low: numbers(0), high: numbers(Infinity) }) }, /high, .* got Infinity at 0$/],
    [
      "a range upside down",
      { ranges: gave({ low: numbers(1), high: numbers(0) }) },
      /low of group 0, expected at most its high, 0, got 1$/,
    ],
    ["integers beyond the bits", { round: gave({ q: integers(16, N * K), grids }) }, /q, .* from 0 to 15, got 16 at 0$/],
    ["no grids", { round: gave({ q: integers(0, N * K) }) }, /scales of the grids, .* got undefined$/],
    ["grids of other groups", { round: gave({ q: integers(0, N * K), grids: { ...grids, groupSize: 4 } }) }, /got 4, groups of 4$/],
  ])("are named where they give %s", (_, own, message) => {
    const all = stagesWith(own);
    expect(() => {
      all.scales(ops, group, settings);
      all.ranges(ops, "vProj", matrix, gram, settings);
      all.round(ops, "vProj", matrix, gram, grids, factor, settings);
    }).toThrow(message);
  });
});

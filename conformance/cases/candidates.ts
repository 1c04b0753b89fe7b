/** Logits with ties, and the cuts of top-k and top-p. */
import * as fc from "fast-check";
import type { SamplingOptions } from "../../core/model/engine.ts";
import { greedy } from "../../core/sample/sampler.ts";
import { axis, type Recipe, recipe, values } from "../arbitraries.ts";

export interface CandidatesSpec {
  readonly V: number;
  readonly data: Recipe;
  readonly topK: number;
  readonly topP: number;
  readonly temperature: number;
}
export interface CandidatesCase {
  readonly logits: Float32Array;
  readonly options: SamplingOptions;
}

/** Ties of many ids, of ±0 too, and none; shares that are exact in f32, and any. */
export const candidatesSpec: fc.Arbitrary<CandidatesSpec> = fc.record({
  V: axis(900, 1, [2, 64, 256, 512]),
  data: recipe(["ones", "integers", "zeros", "equal", "oneHot", "normal", "positive"], 3),
  topK: fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 900 })),
  topP: fc.oneof(
    fc.constant(1),
    fc.integer({ min: 1, max: 31 }).map((n) => n / 32),
    fc.double({ min: 0.01, max: 0.999, noNaN: true }),
  ),
  temperature: fc.constantFrom(1, 0.5, 4, 20),
});

const ties: Recipe = { kind: "integers", exponent: 0, seed: 1 };
const equal: Recipe = { kind: "equal", exponent: 0, seed: 2 };
const ones: Recipe = { kind: "ones", exponent: 0, seed: 1 };
export const candidatesBoundaries: readonly CandidatesSpec[] = [
  // Cuts in the middle of a tie and beside one, in the first, a middle and the last range of ids.
  ...[1, 2, 3, 255, 256, 257, 600].flatMap((V): CandidatesSpec[] => [
    ...[0, 1, 2, V - 1, V, V + 1].flatMap((topK) => [
      { V, data: ties, topK, topP: 1, temperature: 4 },
      { V, data: ties, topK, topP: 0.6, temperature: 4 },
      { V, data: equal, topK, topP: 0.5, temperature: 1 },
    ]),
    { V, data: { kind: "zeros", exponent: 0, seed: 3 }, topK: Math.ceil(V / 2), topP: 0.75, temperature: 1 },
  ]),
  // A few ids, most of them tied.
  ...[3, 4, 5, 7].flatMap((V) =>
    [1, 2, 3].flatMap((topK) => [0.25, 0.5, 0.8].map((topP) => ({ V, data: { ...ties, seed: V }, topK, topP, temperature: 20 }))),
  ),
  // Wide logits, whose least weights count for nothing in a sum; more ids than f16 counts; the last of the 64 partial
  // results.
  { V: 300, data: { kind: "normal", exponent: 3, seed: 1 }, topK: 0, topP: 1, temperature: 0.5 },
  { V: 5001, data: equal, topK: 0, topP: 0.5, temperature: 1 },
  // A share that is 0 in f32: the likeliest stays all the same.
  { V: 40, data: ties, topK: 0, topP: 1e-50, temperature: 1 },
  { V: 16_384, data: ties, topK: 0, topP: 0.9, temperature: 1 },
  // Sums of 2,344 weights of 1 in one invocation: f16 counts to 2,048.
  { V: 600_000, data: ones, topK: 0, topP: 0.5, temperature: 1 },
];

/** Vocabularies of models. */
export const candidatesReach: readonly CandidatesSpec[] = [
  { V: 152_064, data: { kind: "normal", exponent: 1, seed: 1 }, topK: 40, topP: 0.9, temperature: 1 },
  { V: 128_256, data: ties, topK: 0, topP: 0.75, temperature: 4 },
  // Nearly all of them.
  { V: 152_064, data: ties, topK: 120_000, topP: 1, temperature: 4 },
  // As many rows as a call has.
  { V: 60, data: ties, topK: 20, topP: 0.75, temperature: 4 },
  // Each id weighs as much as any other.
  { V: 152_064, data: equal, topK: 0, topP: 0.9, temperature: 1 },
];

export const makeCandidates = ({ V, data, topK, topP, temperature }: CandidatesSpec): CandidatesCase => ({
  logits: values(data, V),
  options: { ...greedy, temperature, topK, topP },
});

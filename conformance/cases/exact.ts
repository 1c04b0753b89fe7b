/** What the kits of `exact` share: values brought in, words as what is expected, and equality for a bound. */
import type * as fc from "fast-check";
import { clean } from "../../core/exact/numbers.ts";
import { type Expected, makeExpected } from "../accuracy.ts";
import { dataKinds, type Recipe, recipe, values } from "../arbitraries.ts";
import { halves } from "./words.ts";

/** Every kind of data, at every size. */
export const exactRecipe: fc.Arbitrary<Recipe> = recipe(dataKinds, 60);
/** One of each kind. */
export const exactRecipes: readonly Recipe[] = dataKinds.map((kind, i) => ({ kind, exponent: 0, seed: i + 1 }));

/** One number of 256 whose square, divided by 256, is the least value there is, 2⁻¹²⁶. */
export const leastMean: { readonly D: number; readonly x: Recipe } = { D: 256, x: { kind: "oneHot", exponent: -59, seed: 1 } };

export const exactValues = (data: Recipe, length: number): Float32Array => values(data, length).map(clean);

export const wordsOf = (data: Float32Array): Uint32Array => new Uint32Array(data.slice().buffer);

/** Words, each as two numbers, bound 0: one bit is too much. */
export function exactly(words: Uint32Array): Expected {
  const numbers = halves(words);
  const expected = makeExpected(numbers.length);
  expected.value.set(numbers);
  return expected;
}

/**
 * Numbers where one rounding turns into another: the least, the largest, powers of two with both neighbours, and of 1 and of the largest what lies 22 to 33
 * binary digits lower; of both signs.
 */
const edges: Float32Array = (() => {
  const powers = [
    0x00800000, 0x01000000, 0x2f000000, 0x2f800000, 0x30000000, 0x33000000, 0x33800000, 0x34000000, 0x34800000, 0x3f800000, 0x40000000,
  ];
  const large = [0x6e800000, 0x72800000, 0x73000000, 0x73800000, 0x7e800000, 0x7f000000];
  const sizes = [...powers, ...large].flatMap((word) => [word - 1, word, word + 1]).filter((word) => word >= 0x00800000);
  return new Float32Array(Uint32Array.from([0, ...[0x7f7ffffe, 0x7f7fffff, ...sizes].flatMap((word) => [word, word + 2 ** 31])]).buffer);
})();
export const EDGES: number = edges.length;
/** Each of them with each. */
export const edgePairs = (): { readonly x: Float32Array; readonly y: Float32Array } => ({
  x: Float32Array.from({ length: EDGES * EDGES }, (_, i) => edges[Math.floor(i / EDGES)]!),
  y: Float32Array.from({ length: EDGES * EDGES }, (_, i) => edges[i % EDGES]!),
});

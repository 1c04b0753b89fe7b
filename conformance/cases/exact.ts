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

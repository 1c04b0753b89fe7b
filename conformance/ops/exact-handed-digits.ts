/**
 * The digits of one row of `exact` whose largest is handed on behind it: equality with the CPU's integers. What lies there may be larger than all of the
 * row, which shows that it is what the exponent comes from.
 */
import * as fc from "fast-check";
import { F32_MAX } from "../accuracy.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";
import { digitWords } from "./exact-digits.ts";

interface Spec {
  readonly shape: number;
  readonly x: Recipe;
  /** The part of the row, of as many as there are words behind it, whose largest is doubled so many times. */
  readonly part: number;
  readonly doubled: number;
}
export interface ExactHandedDigitsCase {
  readonly K: number;
  readonly P: 3 | 4;
  readonly x: Float32Array;
  /** Behind the row: what each of its parts has for its largest, or more. */
  readonly tops: Float32Array;
}

/** Few shapes, since each is a pipeline on the GPU: one word, no whole block, more words behind the row than a workgroup has lanes, a model's. */
const shapes = [
  { K: 32, P: 4, tops: 1 },
  { K: 300, P: 3, tops: 7 },
  { K: 1152, P: 4, tops: 37 },
  { K: 14_336, P: 4, tops: 112 },
] as const;

/** The largest magnitudes of `count` parts of a row, as those who make it leave them. */
export function topsOf(x: Float32Array, each: number): Float32Array {
  return Float32Array.from({ length: Math.ceil(x.length / each) }, (_, i) =>
    x.subarray(i * each, (i + 1) * each).reduce((top, v) => Math.max(top, Math.abs(v)), 0),
  );
}

const allWords = ({ K, P, x, tops }: ExactHandedDigitsCase): Uint32Array => {
  const { digits, sums, exponents } = digitWords({ K, rows: 1, P, x }, tops);
  return Uint32Array.from([...digits, ...sums, ...exponents]);
};

export const kit: Kit<Spec, ExactHandedDigitsCase> = {
  name: "exact-handed-digits",
  formula: "v = rne(x · 2^−e) = Σ 256^p d_p, e by what lies behind x",
  spec: fc.record({ shape: fc.nat(2), x: exactRecipe, part: fc.nat(36), doubled: fc.constantFrom(0, 0, 1, 7, 40) }),
  boundaries: [0, 1, 2].flatMap((shape) => [
    ...exactRecipes.map((x) => ({ shape, x, part: 0, doubled: 0 })),
    ...[0, 1, 5, 6, 31, 32, 35, 36].map((part) => ({ shape, x: exactRecipes[5]!, part, doubled: 3 })),
  ]),
  reach: [0, 57, 111].map((part) => ({ shape: 3, x: exactRecipes[5]!, part, doubled: part === 0 ? 0 : 2 })),
  make({ shape, x: recipe, part, doubled }) {
    const { K, P, tops: count } = shapes[shape]!;
    const x = exactValues(recipe, K);
    const tops = topsOf(x, Math.ceil(K / count));
    const all = new Float32Array(count);
    all.set(tops);
    const at = part % tops.length;
    all[at] = Math.min(F32_MAX, all[at]! * 2 ** doubled);
    return { K, P, x, tops: all };
  },
  ...equalWords<ExactHandedDigitsCase>(({ K, P }) => Math.ceil(K / 32) * (8 * P + 4) + 1, allWords),
};

/** What the kits of `exact` share: values brought in, words as what is expected, and equality for a bound. */
import type * as fc from "fast-check";
import { clean } from "../../core/exact/numbers.ts";
import { makeExpected } from "../accuracy.ts";
import { dataKinds, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Kit } from "../kit.ts";
import { halves } from "./words.ts";

/** Every kind of data, at every size. */
export const exactRecipe: fc.Arbitrary<Recipe> = recipe(dataKinds, 60);
/** One of each kind. */
export const exactRecipes: readonly Recipe[] = dataKinds.map((kind, i) => ({ kind, exponent: 0, seed: i + 1 }));

/** One number of 256 whose square, divided by 256, is the least value there is, 2⁻¹²⁶. */
export const leastMean: { readonly D: number; readonly x: Recipe } = { D: 256, x: { kind: "oneHot", exponent: -59, seed: 1 } };

export const exactValues = (data: Recipe, length: number): Float32Array => values(data, length).map(clean);

export const wordsOf = (data: Float32Array): Uint32Array => new Uint32Array(data.slice().buffer);

/** What every kit of `exact` holds its subjects to: so many words, equal to the CPU's. Each is two numbers, bound 0: one bit is too much. */
export const equalWords = <C>(
  count: (c: C) => number,
  words: (c: C) => Uint32Array,
): Pick<Kit<unknown, C>, "reference" | "length" | "expected" | "laws" | "refusals" | "dotLike"> => ({
  reference: { arithmetic: "f64", run: (c, out) => out.set(halves(words(c))) },
  length: (c) => 2 * count(c),
  expected(c) {
    const numbers = halves(words(c));
    const expected = makeExpected(numbers.length);
    expected.value.set(numbers);
    return expected;
  },
  laws: [],
  refusals: [],
  dotLike: false,
});

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

/** 1 / a modulo 2^64, a odd: Newton's steps, each of twice the bits. */
function inverse(a: bigint): bigint {
  let x = a;
  for (let i = 0; i < 5; i++) x = BigInt.asUintN(64, x * (2n - a * x));
  return x;
}

/**
 * Pairs whose product of 47 or 48 bits lies one bit above a tie that would go down: a bit of each place below, which no rounding may lose.
 * a b = 2^(22 + n) + 2^j modulo 2^(24 + n).
 */
export const besideTies: readonly (readonly [number, number])[] = [0n, 1n].flatMap((n) =>
  Array.from({ length: 22 + Number(n) }, (_, i) => {
    const j = BigInt(i);
    for (let a = 2n ** 23n + 1n; ; a += 4242n) {
      const b = BigInt.asUintN(Number(24n + n - j), inverse(a) * (2n ** (22n + n - j) + 1n)) << j;
      if (b >> 23n === 1n && (a * b) >> 47n === n) return [Number(a) * 2 ** -16, Number(b) * 2 ** -23] as const;
    }
  }),
);

/** Rows of EDGES: each of them with each, then those. */
export const EDGE_ROWS: number = EDGES + 1;
export function edgePairs(): { readonly x: Float32Array; readonly y: Float32Array } {
  const pairs = Array.from({ length: EDGES * EDGES }, (_, i) => [edges[Math.floor(i / EDGES)]!, edges[i % EDGES]!] as const);
  const all = [...pairs, ...Array.from({ length: EDGES }, (_, i) => besideTies[i] ?? ([0, 0] as const))];
  return { x: Float32Array.from(all, ([x]) => x), y: Float32Array.from(all, ([, y]) => y) };
}

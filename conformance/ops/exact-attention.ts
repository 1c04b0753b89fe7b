/**
 * Attention of `exact` from q, k, v before the rotation to the mix: rotation, cache, scores, softmax, mix; equality with the CPU. Values' sizes vary from
 * position to position; windows, one position, head sizes of no whole word.
 */
import * as fc from "fast-check";
import { cacheRows, type FixedCache } from "../../core/exact/attention.ts";
import { clean, mul } from "../../core/exact/numbers.ts";
import { type ExactOps, referenceExactOps } from "../../core/exact/ops.ts";
import { exactRopeTables, rotate, scoreFactor } from "../../core/exact/rope.ts";
import type { AttentionShape } from "../../core/ops/attention.ts";
import { type Recipe, uniform } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

export interface ExactAttentionSpec {
  readonly shape: number;
  readonly T: number;
  readonly start: number;
  readonly q: Recipe;
  readonly k: Recipe;
  readonly v: Recipe;
  /** Binary exponents over which rows of v vary. */
  readonly spread: number;
}
export interface ExactAttentionCase {
  readonly shape: AttentionShape;
  readonly start: number;
  readonly T: number;
  /** [T, H, Hd]; of the last T positions. */
  readonly q: Float32Array;
  /** [start + T, G, Hd]: of all positions, before the rotation. */
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** [start + T, Hd/2] */
  readonly tables: ReturnType<typeof exactRopeTables>;
}

const shapes: readonly AttentionShape[] = [
  { H: 2, G: 1, Hd: 16, window: null },
  { H: 3, G: 3, Hd: 6, window: 5 },
  { H: 4, G: 2, Hd: 80, window: null },
  { H: 4, G: 2, Hd: 64, window: 40 },
  // For cases of reach: a model's heads; narrow ones for the latest positions; 28 heads in groups of seven, 71 in one.
  { H: 4, G: 1, Hd: 128, window: null },
  { H: 2, G: 1, Hd: 4, window: null },
  { H: 2, G: 1, Hd: 4, window: 4096 },
  { H: 28, G: 4, Hd: 16, window: null },
  { H: 71, G: 1, Hd: 6, window: null },
  // Each head with keys of its own, which a short window makes cheap.
  { H: 36, G: 36, Hd: 4, window: 5 },
  { H: 8, G: 4, Hd: 32, window: 5 },
  { H: 36, G: 36, Hd: 64, window: null },
  { H: 2, G: 1, Hd: 32, window: 5000 },
  { H: 2, G: 1, Hd: 4, window: 5 },
  { H: 2, G: 1, Hd: 4, window: 300 },
  { H: 36, G: 36, Hd: 32, window: 5 },
];
const LAST = 131_071;

/** Queries of a case and its cache, both turned to their positions. */
export function turned({ shape, start, T, q, k, v, tables }: ExactAttentionCase): {
  readonly queries: Float32Array;
  readonly cache: FixedCache;
} {
  const { H, G, Hd } = shape;
  const S = start + T;
  const turnedQ = q.slice();
  const turnedK = k.slice();
  rotate(turnedQ, tables, start, T, H);
  rotate(turnedK, tables, 0, S, G);
  const cache = {
    keys: new Float32Array(S * G * Hd),
    values: new Float32Array(S * G * Hd),
    keyExponents: new Int16Array(S * G),
    valueExponents: new Int16Array(S * G),
  };
  cacheRows(cache, turnedK, v, 0, S, G, Hd);
  return { queries: turnedQ, cache };
}

/** A case's result by these ops. */
export function mixedBy(ops: Pick<ExactOps, "attention">, c: ExactAttentionCase): Float32Array {
  const { shape, start, T } = c;
  const { queries, cache } = turned(c);
  const out = new Float32Array(c.q.length);
  ops.attention(out, queries, cache, start, T, shape, scoreFactor(shape.Hd));
  return out;
}

const mixed = (c: ExactAttentionCase): Float32Array => mixedBy(referenceExactOps, c);

export const kit: Kit<ExactAttentionSpec, ExactAttentionCase> = {
  name: "exact-attention",
  formula: "mul(rn(Σ p̂ v̂), 1/Z), p̂ from exact scores",
  spec: fc.record({
    shape: fc.nat(3),
    T: fc.constantFrom(1, 1, 2, 3, 4, 17, 33),
    start: fc.constantFrom(0, 1, 30, 32, 63, 150),
    q: exactRecipe,
    k: exactRecipe,
    v: exactRecipe,
    spread: fc.constantFrom(0, 10, 60),
  }),
  boundaries: [0, 1, 2, 3].flatMap((shape) =>
    exactRecipes.flatMap((data, i) => [
      { shape, T: 2, start: 33, q: data, k: exactRecipes[5]!, v: exactRecipes[(i + 3) % exactRecipes.length]!, spread: 0 },
      { shape, T: 1, start: 150, q: exactRecipes[5]!, k: data, v: exactRecipes[5]!, spread: 60 },
    ]),
  ),
  reach: [
    { shape: 4, T: 33, start: 1000 },
    { shape: 4, T: 1, start: 927 },
    { shape: 5, T: 1, start: LAST },
    // WebAssembly leaves more than 2^15 positions to the op that it is held to.
    { shape: 5, T: 1, start: 20_000 },
    { shape: 6, T: 2, start: 9000 },
    ...[7, 8].map((shape) => ({ shape, T: 1, start: 70 })),
    { shape: 9, T: 520, start: 0 },
    // More than 512 rows in one part of them, and in the other a last tile of few.
    { shape: 10, T: 900, start: 0 },
    { shape: 11, T: 1, start: 600 },
    { shape: 12, T: 2, start: 9000 },
    { shape: 14, T: 1, start: 600 },
    { shape: 15, T: 120, start: 0 },
  ].map((at) => ({ ...at, q: exactRecipes[5]!, k: exactRecipes[5]!, v: exactRecipes[5]!, spread: 10 })),
  make({ shape: at, T, start, q, k, v, spread }) {
    const shape = shapes[at]!;
    const { H, G, Hd } = shape;
    const S = start + T;
    const next = uniform(v.seed);
    const sizes = Array.from({ length: S }, () => 2 ** Math.round(2 * spread * (next() - 0.5)));
    return {
      shape,
      start,
      T,
      q: exactValues(q, T * H * Hd),
      k: exactValues(k, S * G * Hd),
      v: exactValues(v, S * G * Hd).map((value, i) => clean(mul(value, sizes[Math.floor(i / (G * Hd))]!))),
      tables: exactRopeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" } }, S),
    };
  },
  ...equalWords<ExactAttentionCase>(
    ({ q }) => q.length,
    (c) => wordsOf(mixed(c)),
  ),
};

/** Attention weights of `exact`, as one looks at them: equality with the CPU, 0 where a query does not see a key. Rows of them are longer than the keys. */
import { attention } from "../../core/exact/attention.ts";
import { scoreFactor } from "../../core/exact/rope.ts";
import { equalWords, exactRecipes, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";
import { type ExactAttentionCase, type ExactAttentionSpec, kit as mixing, turned } from "./exact-attention.ts";

/** Words of a row behind those of the keys, which keep what they hold; and what all words hold before. */
export const BEHIND = 5;
export const BEFORE = 777;
const strideOf = ({ start, T }: ExactAttentionCase): number => start + T + BEHIND;

function weights(c: ExactAttentionCase): Float32Array {
  const { shape, start, T } = c;
  const { queries, cache } = turned(c);
  const [S, rows] = [start + T, T * shape.H];
  const found = new Float32Array(rows * S);
  attention(new Float32Array(c.q.length), queries, cache, start, T, shape, scoreFactor(shape.Hd), found);
  const out = new Float32Array(rows * strideOf(c)).fill(BEFORE);
  for (let row = 0; row < rows; row++) out.set(found.subarray(row * S, (row + 1) * S), row * strideOf(c));
  return out;
}

export const kit: Kit<ExactAttentionSpec, ExactAttentionCase> = {
  ...mixing,
  name: "exact-attention-weights",
  formula: "mul(rn(2^(score − largest)), 1/Z)",
  // Positions past where numbers and windows of models end; rows past a chunk's 512.
  reach: [
    { shape: 5, T: 1, start: 131_071 },
    { shape: 6, T: 2, start: 9000 },
    { shape: 13, T: 600, start: 0 },
  ].map((at) => ({ ...at, q: exactRecipes[5]!, k: exactRecipes[5]!, v: exactRecipes[5]!, spread: 10 })),
  ...equalWords<ExactAttentionCase>(
    (c) => c.T * c.shape.H * strideOf(c),
    (c) => wordsOf(weights(c)),
  ),
};

/**
 * Greedy sampling of `exact`: the next step, after 3 rows at position 7 in slot 9; the id that is fed, the lowest among equals; and as the
 * result, behind those of the tokens before, that id and its surprisal as an integer; equality with the CPU.
 */
import * as fc from "fast-check";
import { partition, surprisal } from "../../core/exact/sample.ts";
import { argmax } from "../../core/sample/sampler.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly V: number;
  readonly logits: Recipe;
}
export interface ExactGreedyCase {
  readonly logits: Float32Array;
}

/** Tokens sampled before, and the words of their results. */
export const BEFORE = 7;
export const before: Uint32Array = new Uint32Array(2 * BEFORE).fill(0xdeadbeef);

function resultOf({ logits }: ExactGreedyCase): Uint32Array {
  const id = argmax(logits);
  return Uint32Array.of(1, 8, BEFORE + 1, 9, id, ...before, id, surprisal(logits[id]!, partition(logits)));
}

export const kit: Kit<Spec, ExactGreedyCase> = {
  name: "exact-greedy",
  formula: "argmax l, log₂ Σ 2^(l_i − max l)",
  spec: fc.record({ V: fc.constantFrom(1, 5, 255, 256, 257, 4096), logits: exactRecipe }),
  boundaries: [
    ...exactRecipes.flatMap((logits) => [1, 300].map((V) => ({ V, logits }))),
    // Partial sums from every workgroup, the likeliest from the last, whose sum carries; and from two between.
    ...[707, 1, 2].map((seed) => ({ V: 17_000, logits: { kind: "normal" as const, exponent: 0, seed } })),
    // Sums whose logarithm differs in its last bit if any square loses its lowest.
    ...[4141, 4587].map((seed) => ({ V: 300, logits: { kind: "normal" as const, exponent: 0, seed } })),
  ],
  reach: [152_064, 256_000].map((V) => ({ V, logits: exactRecipes[5]! })),
  make: ({ V, logits }) => ({ logits: exactValues(logits, V) }),
  ...equalWords<ExactGreedyCase>(() => 7 + before.length, resultOf),
};

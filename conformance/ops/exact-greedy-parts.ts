/**
 * What each of 64 workgroups finds of its logits on the way to the likeliest: 2^32 − 1 − the lowest id that has the largest of all, 0 where it has none; and
 * the exact sum of its weights in units of 2^−44; equality with the CPU's integers.
 */
import * as fc from "fast-check";
import { partition } from "../../core/exact/sample.ts";
import { F32_MAX } from "../accuracy.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly V: number;
  readonly logits: Recipe;
  /** Instead one of `edges`. */
  readonly edge?: number;
}
export interface ExactGreedyPartsCase {
  readonly logits: Float32Array;
}

const powers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => 2 ** (from + i));
/** The largest logit, and others whose difference from it, or its product with log₂ e, is where one rounding turns into another. */
const edges: readonly (readonly number[])[] = [
  // Significands whose product with that of log₂ e lies one bit of each place above a tie that would go down.
  [0, ...[9175040, 10379264, 10878976, 11481088, 12445184, 13597056, 16351232].map((s) => -s * 2 ** -21)],
  // Differences that carry into the next power of two; numbers too small to show, by a bit and by 32 places.
  ...[1, -4].map((most) => [most, ...powers(-60, -22).flatMap((x) => (most > 0 ? [x, -x, 1.5 * x] : [most - x * 2 ** 25]))]),
  // Differences below the least value, and above the largest.
  [1.5 * 2 ** -126, 1.25 * 2 ** -126, 2 ** -126, 0, -(2 ** -126)],
  [F32_MAX, F32_MAX / 2, 1, 0, -1, -F32_MAX],
  [0, -(2 ** -126), -(2 ** -25), -(2 ** -24), -F32_MAX],
];

/** Parts, and neighbours that go to one. */
const [PARTS, WIDTH] = [64, 256];

function parts({ logits }: ExactGreedyPartsCase): Uint32Array {
  const out = new Uint32Array(4 * PARTS);
  const most = Math.max(
    ...Array.from({ length: Math.ceil(logits.length / WIDTH) }, (_, i) => Math.max(...logits.subarray(i * WIDTH, (i + 1) * WIDTH))),
  );
  const own = Array.from({ length: PARTS }, () => [] as number[]);
  logits.forEach((l, id) => {
    const part = Math.floor(id / WIDTH) % PARTS;
    own[part]!.push(l);
    if (l === most && out[4 * part] === 0) out[4 * part] = 0xffffffff - id;
  });
  own.forEach((of, part) => {
    if (of.length === 0) return;
    // The largest of all first, of which the sum is 2^44 too much.
    const sum = partition(Float32Array.of(most, ...of)).total - (1n << 44n);
    out.set([Number(sum & 0xffffffffn), Number(sum >> 32n)], 4 * part + 2);
  });
  return out;
}

export const kit: Kit<Spec, ExactGreedyPartsCase> = {
  name: "exact-greedy-parts",
  formula: "Σ ⌊2^(44 − d_i)⌋",
  spec: fc.record({ V: fc.constantFrom(1, 5, 255, 256, 257, 4096), logits: exactRecipe }),
  boundaries: [
    ...exactRecipes.flatMap((logits) => [1, 300].map((V) => ({ V, logits }))),
    // Every lane of every part; distances near and far; the likeliest in the last lane, in one of the last, in others.
    ...[
      [0, 101],
      [3, 13],
      [-3, 1],
      [-9, 2],
      [-20, 3],
    ].map(([exponent, seed]) => ({ V: 17_000, logits: { kind: "normal" as const, exponent: exponent!, seed: seed! } })),
    { V: 17_000, logits: { kind: "equal", exponent: 0, seed: 1 } },
    ...edges.map((at, edge) => ({ V: at.length, logits: exactRecipes[0]!, edge })),
  ],
  reach: [{ V: 256_000, logits: exactRecipes[5]! }],
  make: ({ V, logits, edge }) => ({ logits: edge === undefined ? exactValues(logits, V) : Float32Array.from(edges[edge]!) }),
  ...equalWords<ExactGreedyPartsCase>(() => 4 * PARTS, parts),
};

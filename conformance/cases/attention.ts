/** Cases of attention, whole or in two halves. */
import * as fc from "fast-check";
import { type AttentionInputs, visible } from "../accuracy.ts";
import { axis, type DataKind, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Refusal } from "../kit.ts";
import { refuseShort } from "./shared.ts";

export interface AttentionSpec {
  readonly T: number;
  readonly start: number;
  readonly G: number;
  readonly perGroup: number;
  readonly Hd: number;
  readonly window: number | null;
  readonly q: Recipe;
  readonly k: Recipe;
  readonly v: Recipe;
  /**
   * Keys that stand out, counted from the last position back (0: the last one itself): all others have score 0 and weigh
   * nothing beside them, so that one key too few or too many, or taken from elsewhere, shows in the longest of caches.
   */
  readonly marks?: readonly number[];
}
export type AttentionCase = AttentionInputs;

const shape = { T: 2, start: 5, G: 2, perGroup: 2, Hd: 16, window: null, q: plain, k: { ...plain, seed: 2 }, v: { ...plain, seed: 3 } };
/** Scores: flat, one-hot, wide. Products of `mixed` and `f16Overflow` reach 10¹²: one weight is 1, the rest 0. */
const scoreKinds = [
  "ones",
  "integers",
  "zeros",
  "equal",
  "oneHot",
  "normal",
  "cancelling",
  "outliers",
  "mixed",
  "f16Overflow",
  "tiny",
] as const;

/** Shapes on both sides of each edge; queries and keys of `kinds`, scaled by up to 2^`exponents`. */
export const attentionSpec = (kinds: readonly DataKind[] = scoreKinds, exponents = 3): fc.Arbitrary<AttentionSpec> =>
  fc
    .record({
      T: axis(6),
      start: fc.oneof(
        { withCrossShrink: true },
        fc.integer({ min: 0, max: 9 }),
        axis(300, 1, [32, 64, 128, 256]).map((n) => n - 1),
      ),
      G: fc.integer({ min: 1, max: 3 }),
      perGroup: fc.integer({ min: 1, max: 4 }),
      Hd: axis(136, 2, [4, 8, 16, 32, 64, 128]),
      window: fc.option(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 310 })), { nil: null, freq: 3 }),
      q: recipe(kinds, exponents),
      k: recipe(kinds, exponents),
      v: recipe(),
    })
    // A case costs T · H · S · Hd: keep the sum of a few within a few milliseconds.
    .map((s) => (s.start * s.Hd * s.G * s.perGroup > 40_000 ? { ...s, T: 1, G: 1, perGroup: Math.min(s.perGroup, 2) } : s));

export const attentionBoundaries: readonly AttentionSpec[] = [
  ...[0, 1, 6, 7, 8, 15, 30, 31, 32, 62, 63, 64, 126, 127, 128, 254, 255, 256, 511, 1024].map((start) => ({ ...shape, T: 1, start })),
  ...[2, 4, 30, 32, 34, 62, 64, 66, 80, 126, 128, 130, 256].map((Hd) => ({ ...shape, Hd })),
  ...[1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 65].map((T) => ({ ...shape, T })),
  ...[1, 2, 6, 7, 8].map((window) => ({ ...shape, T: 9, window })),
  ...([1, 3, 8] as const).map((perGroup) => ({ ...shape, perGroup })),
  { ...shape, start: 70, q: { kind: "f16Overflow", exponent: 0, seed: 1 }, k: { kind: "f16Overflow", exponent: 0, seed: 2 } },
  { ...shape, start: 70, k: { kind: "equal", exponent: 0, seed: 2 } },
  // All scores far below 0, so that one of 0 where there is no key outweighs them.
  { ...shape, q: { kind: "equal", exponent: 3, seed: 3 }, k: { kind: "equal", exponent: 2, seed: 37 } },
  // Kernels that split the keys: as many splits as one turn joins, more, and more than there are invocations.
  ...(
    [
      [1023, 128],
      [1535, 128],
      [1100, 256],
      [2047, 128],
      [16_383, 32],
      [17_000, 32],
    ] as const
  ).map(([start, Hd]) => ({ ...shape, T: 1, start, G: 1, perGroup: 1, Hd, v: { kind: "positive" as const, exponent: 0, seed: 3 } })),
  // Several splits of heads of two groups.
  { ...shape, T: 1, start: 200, Hd: 64 },
  // One score far above the others, of other heads and other splits too.
  { ...shape, T: 1, start: 900, q: { kind: "f16Overflow", exponent: 0, seed: 1 }, k: { kind: "f16Overflow", exponent: 0, seed: 2 } },
  // Two heads that may share a workgroup: the second's best key is a multiple of 16 and far above the first's best, and
  // above its own others.
  {
    ...shape,
    T: 1,
    start: 130,
    G: 1,
    Hd: 32,
    q: { kind: "normal", exponent: 6, seed: 23 },
    k: { kind: "normal", exponent: 5, seed: 2 },
    v: { ...plain, seed: 3 },
  },
];

const LAST = 131_071;
/** Both ends of a cache that reaches back `start` positions, both sides of where tables, tiles and 16 bits end. */
const farBack = (start: number): number[] => [
  ...new Set([0, 1, 63, 64, 1023, 1024, 4095, 65_535, 65_536, start - 1024, start - 1, start].filter((n) => n >= 0 && n <= start)),
];
/** Marks on both sides of where a window begins, for T queries. */
const around = (window: number, T: number): number[] => [...new Set([0, 1, T, window - 2, window - 1, window, window + T - 1, window + T])];

/** Of every supported model: its positions, windows, heads, head sizes. */
export const attentionReach: readonly AttentionSpec[] = [
  // The widest heads that kernels take.
  { ...shape, Hd: 256, T: 2, start: 40 },
  ...(
    [
      { T: 1, start: LAST, Hd: 8 },
      { T: 2, start: 40_000, Hd: 2 },
      // A chunk at a late position: row t does not see the keys of the rows after it.
      { T: 40, start: 5000, Hd: 8 },
      { T: 2, start: 4094, Hd: 64 },
    ] as const
  ).map((at) => ({ ...shape, ...at, G: 1, perGroup: 2, marks: [...farBack(at.start + at.T - 1), 2, 17, 39] })),
  // Windows that slide, the first key they leave and the last they take.
  ...(
    [
      { T: 2, start: LAST - 2, window: 4096, Hd: 8 },
      { T: 20, start: 9000, window: 1024, Hd: 8 },
      { T: 2, start: 40_000, window: 32_768, Hd: 16 },
    ] as const
  ).map((at) => ({ ...shape, ...at, G: 1, perGroup: 2, marks: around(at.window, at.T) })),
  // Heads of models, in ratios of no power of two: 28 in 4 groups, 40 in 8, 71 in one, these as wide as that model's.
  ...(
    [
      [4, 7, 16],
      [8, 5, 16],
      [1, 71, 64],
    ] as const
  ).map(([G, perGroup, Hd]) => ({ ...shape, G, perGroup, Hd, T: 2, start: 9 })),
  { ...shape, G: 8, perGroup: 4, Hd: 128, T: 2, start: 70, marks: [0, 1, 40, 64, 70] },
  // A window that does not slide yet; more rows than 512, and 128 for a batch; heads of a group that fill several tiles of
  // queries past 16 bits of words.
  { ...shape, G: 1, perGroup: 2, Hd: 16, T: 2, start: 5000, window: 32_768, marks: farBack(5001) },
  { ...shape, G: 1, perGroup: 1, Hd: 16, T: 600, start: 0 },
  { ...shape, G: 1, perGroup: 2, Hd: 16, T: 128, start: 3 },
  { ...shape, G: 2, perGroup: 8, Hd: 128, T: 72, start: 0 },
  // Llama 2 13B's: each head has keys of its own.
  { ...shape, G: 40, perGroup: 1, Hd: 128, T: 20, start: 20 },
  { ...shape, G: 40, perGroup: 1, Hd: 128, T: 1, start: 200 },
  // More groups than models have, four heads each: over several splits of the keys by four heads at once.
  { ...shape, G: 20, perGroup: 4, Hd: 128, T: 1, start: 70 },
  // And more rows than half of a tile has.
  { ...shape, G: 40, perGroup: 1, Hd: 16, T: 40, start: 3 },
  // As many heads over several splits of the keys.
  { ...shape, G: 8, perGroup: 5, Hd: 128, T: 1, start: 2100 },
  // And scores so far apart that only a head's own largest keeps its exponentials in range; of heads by fours too.
  ...[5, 4].map((perGroup) => ({
    ...{ ...shape, G: 8, perGroup, Hd: 128, T: 1, start: 300 },
    ...{ q: { ...plain, exponent: 6 }, k: { ...plain, exponent: 2, seed: 2 } },
  })),
];

/** A case with marks: values of every key, group and component differ from their neighbours'. */
function makeMarked({ T, start, G, perGroup, Hd, window }: AttentionSpec, marks: readonly number[]): AttentionCase {
  const H = G * perGroup;
  const S = start + T;
  const k = new Float32Array(S * G * Hd);
  for (const [j, back] of marks.entries())
    if (back < S) k.fill(Math.round((400 + (j % 4)) / Math.sqrt(Hd)) / 4, (S - 1 - back) * G * Hd, (S - back) * G * Hd);
  return {
    T,
    start,
    shape: { H, G, Hd, window },
    q: Float32Array.from({ length: T * H * Hd }, (_, i) => 1 + (Math.floor(i / Hd) % 16) / 64),
    k,
    v: Float32Array.from({ length: S * G * Hd }, (_, i) => ((i * 29 + Math.floor(i / (G * Hd)) * 5) % 17) - 8),
  };
}

export function makeAttention(spec: AttentionSpec): AttentionCase {
  const { T, start, G, perGroup, Hd, window, q, k, v, marks } = spec;
  if (marks) return makeMarked(spec, marks);
  const H = G * perGroup;
  const S = start + T;
  return {
    T,
    start,
    shape: { H, G, Hd, window },
    q: values(q, T * H * Hd),
    k: values(k, S * G * Hd),
    v: values(v, S * G * Hd),
  };
}

export const attentionRefusals: readonly Refusal<AttentionCase>[] = [
  refuseShort<AttentionCase>("q", (c) => ({ ...c, q: c.q.subarray(1) })),
  refuseShort<AttentionCase>("k", (c) => ({ ...c, k: c.k.subarray(1) })),
  refuseShort<AttentionCase>("out", (c) => c, true),
];

/**
 * The last query alone, with one key of one group whose score is far above the others', which are 0: at both ends of
 * what it sees and in places that fold differently in a tile of 128 or 64. Heads of other groups see equal scores.
 */
export function farAbove(c: AttentionCase): { readonly at: number; readonly group: number; readonly far: AttentionCase }[] {
  const { H, G, Hd } = c.shape;
  const last = c.start + c.T - 1;
  const [first] = visible(c, c.T - 1);
  const q = new Float32Array(H * Hd).fill(100);
  const places = [...[0, 4, 7, 8, 9, 126, 127].map((n) => first + n), last - ((last + 1) % 64), last];
  return [...new Set(places.filter((at) => at >= first && at <= last))].map((at, i) => {
    const group = i % G;
    const k = new Float32Array(c.k.length).fill(100, (at * G + group) * Hd, (at * G + group + 1) * Hd);
    return { at, group, far: { ...c, T: 1, start: last, q, k } };
  });
}

import fc from "fast-check";
import { type AttentionInputs, expectAttention, visible } from "../accuracy.ts";
import { axis, type DataKind, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits, within } from "../compare.ts";
import type { Kit, Refusal } from "../kit.ts";
import { arithmeticOf, refuseShort } from "./shared.ts";

interface Spec {
  readonly T: number;
  readonly start: number;
  readonly G: number;
  readonly perGroup: number;
  readonly Hd: number;
  readonly window: number | null;
  readonly q: Recipe;
  readonly k: Recipe;
  readonly v: Recipe;
}
export type AttentionCase = AttentionInputs;

const plain: Recipe = { kind: "normal", exponent: 0, seed: 1 };
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
export const attentionSpec = (kinds: readonly DataKind[] = scoreKinds, exponents = 3): fc.Arbitrary<Spec> =>
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

export const attentionBoundaries: readonly Spec[] = [
  ...[0, 1, 6, 7, 8, 15, 30, 31, 32, 62, 63, 64, 126, 127, 128, 254, 255, 256, 511, 1024].map((start) => ({ ...shape, T: 1, start })),
  ...[2, 4, 30, 32, 34, 62, 64, 66, 80, 126, 128, 130, 256].map((Hd) => ({ ...shape, Hd })),
  ...[1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 65].map((T) => ({ ...shape, T })),
  ...[1, 2, 6, 7, 8].map((window) => ({ ...shape, T: 9, window })),
  ...([1, 3, 8] as const).map((perGroup) => ({ ...shape, perGroup })),
  { ...shape, start: 70, q: { kind: "f16Overflow", exponent: 0, seed: 1 }, k: { kind: "f16Overflow", exponent: 0, seed: 2 } },
  { ...shape, start: 70, k: { kind: "equal", exponent: 0, seed: 2 } },
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
  // Two heads that may share a workgroup: the second's best key is a multiple of 16 and far above the first's best, and above its own others.
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

export function makeAttention({ T, start, G, perGroup, Hd, window, q, k, v }: Spec): AttentionCase {
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

/** A copy with row `s` of every group replaced by `value`. */
const withRow = (rows: Float32Array, s: number, width: number, value: number): Float32Array => {
  const copy = rows.slice();
  copy.fill(value, s * width, (s + 1) * width);
  return copy;
};

/**
 * The last query alone, with one key of one group whose score is far above the others', which are 0: at both ends of what it sees and
 * in places that fold differently in a tile of 128 or 64. Heads of other groups see equal scores.
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

export const kit: Kit<Spec, AttentionCase> = {
  name: "attention",
  formula: "out[t, h] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g], s ≤ start + t, g = ⌊h·G/H⌋",
  spec: attentionSpec(),
  boundaries: attentionBoundaries,
  make: makeAttention,
  length: (c) => c.T * c.shape.H * c.shape.Hd,
  expected: (c, arithmetic) => expectAttention(c, arithmeticOf(arithmetic), arithmetic === "f64" ? 0 : c.start + c.T),
  laws: [
    {
      name: "is causal: a later key or value changes nothing before it, bit for bit",
      async check(c, { run }) {
        if (c.T < 2) return null;
        const width = c.shape.G * c.shape.Hd;
        const last = c.start + c.T - 1;
        const changed = { ...c, k: withRow(c.k, last, width, 3), v: withRow(c.v, last, width, -7) };
        const row = c.shape.H * c.shape.Hd;
        return sameBits(await run(c), await run(changed), 0, 0, (c.T - 1) * row);
      },
    },
    {
      name: "does not see keys behind its window, bit for bit",
      async check(c, { run }) {
        const first = visible(c, 0)[0];
        if (first === 0) return null;
        const width = c.shape.G * c.shape.Hd;
        return sameBits(await run(c), await run({ ...c, k: withRow(c.k, first - 1, width, 3), v: withRow(c.v, first - 1, width, -7) }));
      },
    },
    {
      name: "gives the value where one key is seen",
      async check(c, { run }) {
        const { H, G, Hd } = c.shape;
        const one = { ...c, T: 1, start: 0, q: c.q.slice(0, H * Hd), k: c.k.slice(0, G * Hd), v: c.v.slice(0, G * Hd) };
        const out = await run(one);
        const { bound } = expectAttention(one, arithmeticOf("f32"), 1);
        for (let i = 0; i < out.length; i++) {
          const group = Math.floor((Math.floor(i / Hd) * G) / H);
          const wrong = within(`element ${i}`, out[i]!, one.v[group * Hd + (i % Hd)]!, bound[i]!);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "gives the value of the key whose score is far above the rest, wherever it is",
      async check(c, { run }) {
        const { H, G, Hd } = c.shape;
        const v = c.v.map((_, i) => ((i * 29) % 17) - 8);
        for (const { at, group, far } of farAbove(c)) {
          const out = await run({ ...far, v });
          const [first, last] = visible(far, 0);
          const mean = new Float64Array(G * Hd);
          for (let s = first; s <= last; s++) for (let i = 0; i < G * Hd; i++) mean[i]! += v[s * G * Hd + i]! / (last - first + 1);
          for (let i = 0; i < out.length; i++) {
            const g = Math.floor((Math.floor(i / Hd) * G) / H);
            const expected = g === group ? v[(at * G + g) * Hd + (i % Hd)]! : mean[g * Hd + (i % Hd)]!;
            if (!(Math.abs(out[i]! - expected) <= 0.02))
              return `element ${i}: ${out[i]}, not ${expected}; key ${at} of group ${group} stands out`;
          }
        }
        return null;
      },
    },
    {
      name: "does not see the order of the keys",
      async check(c, { run, expected }) {
        const { G, Hd, H } = c.shape;
        const S = c.start + c.T;
        const last = { ...c, T: 1, start: S - 1, q: c.q.slice((c.T - 1) * H * Hd), shape: { ...c.shape, window: null } };
        const reversed = (rows: Float32Array): Float32Array => {
          const out = new Float32Array(rows.length);
          for (let s = 0; s < S; s++) out.set(rows.subarray(s * G * Hd, (s + 1) * G * Hd), (S - 1 - s) * G * Hd);
          return out;
        };
        const { bound } = expected(last);
        const [a, b] = [await run(last), await run({ ...last, k: reversed(last.k), v: reversed(last.v) })];
        for (let i = 0; i < a.length; i++) {
          const wrong = within(`element ${i}`, b[i]!, a[i]!, 2 * bound[i]!);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "stays between the least and the greatest value it mixes",
      async check(c, { run, expected }) {
        const { H, G, Hd } = c.shape;
        const { bound } = expected(c);
        const out = await run(c);
        for (let i = 0; i < out.length; i++) {
          const t = Math.floor(i / (H * Hd));
          const group = Math.floor((Math.floor((i % (H * Hd)) / Hd) * G) / H);
          const [first, last] = visible(c, t);
          let [low, high] = [Infinity, -Infinity];
          for (let s = first; s <= last; s++) {
            const v = c.v[(s * G + group) * Hd + (i % Hd)]!;
            low = Math.min(low, v);
            high = Math.max(high, v);
          }
          if (bound[i] !== Infinity && !(out[i]! >= low - bound[i]! && out[i]! <= high + bound[i]!))
            return `element ${i}: ${out[i]} is outside ${low} … ${high}`;
        }
        return null;
      },
    },
  ],
  refusals: [...attentionRefusals, refuseShort("v", (c) => ({ ...c, v: c.v.subarray(1) }))],
  dotLike: false,
};

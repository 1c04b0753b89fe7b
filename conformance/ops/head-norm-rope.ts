/** The norms of the heads of q and k of one row, RoPE and the cache. */
import * as fc from "fast-check";
import { expectRmsNorm, makeExpected, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { rowKinds } from "../cases/fixed16.ts";
import { type HeadsCase, headsLength, turned } from "../cases/qkv-rope.ts";
import { rotated } from "../cases/rope.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly position: number;
  readonly raw: Recipe;
  readonly norm: Recipe;
  readonly noted?: number;
}
export interface HeadNormCase extends HeadsCase {
  /** [(H + 2G) · Hd] q, k, v */
  readonly raw: Float32Array;
  /** [Hd] */
  readonly qNorm: Float32Array;
  readonly kNorm: Float32Array;
  readonly eps: number;
}

/** Head dimensions: the least, halves in eights and in fours, a workgroup's most. Each shape is a pipeline. */
const shapes = [
  { G: 3, perGroup: 1, Hd: 8, cache: "f16" },
  { G: 1, perGroup: 3, Hd: 64, cache: "f32" },
  { G: 2, perGroup: 2, Hd: 72, cache: "f16" },
  { G: 2, perGroup: 1, Hd: 256, cache: "f16" },
  { G: 40, perGroup: 1, Hd: 128, cache: "f16" },
] as const;

export const kit: Kit<Spec, HeadNormCase> = {
  name: "head-norm-rope",
  formula: "q, k = norm of each head, turned by RoPE; k and v at `position` of the caches",
  spec: fc.record({
    shape: fc.nat(3),
    position: fc.nat(40),
    raw: recipe([...rowKinds, "tiny", "f16Overflow"]),
    norm: recipe(rowKinds),
  }),
  boundaries: shapes.flatMap((_, shape) =>
    [plain, { ...plain, kind: "f16Overflow" as const }].flatMap((raw) =>
      [0, 9].map((position) => ({ shape, position, raw, norm: { ...plain, seed: 2 } })),
    ),
  ),
  reach: [
    { shape: 3, position: 4095 },
    { shape: 1, position: 131_071 },
    // As many heads as models have, each with keys of its own; and beyond the cache, as an earlier position was or not.
    { shape: 4, position: 9 },
    { shape: 4, position: 9, raw: { ...plain, kind: "f16Overflow" as const } },
    { shape: 4, position: 9, raw: { ...plain, kind: "f16Overflow" as const }, noted: 3 },
  ].map((far) => ({ raw: plain, norm: { ...plain, seed: 2 }, ...far })),
  make({ shape, position, raw, norm, noted }) {
    const { G, perGroup, Hd, cache } = shapes[shape]!;
    const H = G * perGroup;
    return {
      ...{ H, G, Hd, position, S: position + 2, cache, ...(noted === undefined ? {} : { noted }) },
      ...rotated(Hd, 10000, "none", position, position + 2),
      raw: values(raw, (H + 2 * G) * Hd),
      qNorm: values(norm, Hd),
      kNorm: values({ ...norm, seed: norm.seed + 1 }, Hd),
      eps: Math.fround(1e-6),
    };
  },
  length: headsLength,
  expected(c) {
    const { H, G, Hd, raw, qNorm, kNorm, eps } = c;
    const rows = makeExpected(raw.length);
    rows.value.set(raw);
    for (const [norm, first, count] of [
      [qNorm, 0, H],
      [kNorm, H, G],
    ] as const) {
      const e = expectRmsNorm(raw.slice(first * Hd, (first + count) * Hd), norm, eps, count, wgsl);
      rows.value.set(e.value, first * Hd);
      rows.bound.set(e.bound, first * Hd);
    }
    return turned(rows, c);
  },
  laws: [],
  refusals: [],
  dotLike: false,
};

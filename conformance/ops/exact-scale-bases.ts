/** What the int4 linears of `exact` know of their scales: each row's least exponent, and how far exponents of a row lie apart at most; of their weights the largest Σ (q − z)² of a step; equality with the CPU's integers. */
import * as fc from "fast-check";
import { halfNumbers } from "../accuracy.ts";
import { type ScaleKind, scaleBits, scaleKinds } from "../arbitraries.ts";
import { equalWords } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly rows: number;
  readonly groups: number;
  /** "least": none above what a subnormal's exponent stands for. */
  readonly scales: ScaleKind | "least";
  readonly seed: number;
  /** What rows before left as the largest distance. */
  readonly before: number;
}
export interface ExactScaleBasesCase {
  readonly rows: number;
  readonly groups: number;
  /** [rows, groups] binary16. */
  readonly scales: Uint16Array;
  /** [rows/4, groups, 4, 4] words of eight weights, a group of 32 each. */
  readonly weights: Uint32Array;
  readonly before: number;
}

/** The exponent of |s| · 2^24 as m · 2^shift, m < 2^11; none for 0. */
function shiftOf(bits: number): number | undefined {
  const size = Math.abs(halfNumbers()[bits]!) * 2 ** 24;
  return size === 0 ? undefined : Math.max(0, Math.floor(Math.log2(size)) - 10);
}

export const zeroOf = (n: number, g: number): number => (n + 5 * g) & 15;

/** The largest Σ (q − z)² of row n, four groups at a time. */
function heaviest({ groups, weights }: ExactScaleBasesCase, n: number): number {
  const sums = new Array<number>(Math.ceil(groups / 4)).fill(0);
  for (let g = 0; g < groups; g++)
    for (let i = 0; i < 32; i++) {
      const word = weights[(((n >> 2) * groups + g) * 4 + (n & 3)) * 4 + (i >> 3)]!;
      sums[g >> 2]! += (((word >>> (4 * (i & 7))) & 15) - zeroOf(n, g)) ** 2;
    }
  return Math.max(...sums);
}

/** bases [rows], the heaviest step above each, then the largest distance. */
function found(c: ExactScaleBasesCase): Uint32Array {
  const { rows, groups, scales, before } = c;
  const out = new Uint32Array(rows + 1).fill(before, rows);
  for (let n = 0; n < rows; n++) {
    const shifts = Array.from(scales.subarray(n * groups, (n + 1) * groups), shiftOf).filter((s) => s !== undefined);
    out[n] = heaviest(c, n) << 8;
    if (shifts.length === 0) continue;
    const least = Math.min(...shifts);
    out[n]! += least;
    out[rows] = Math.max(out[rows]!, Math.max(...shifts) - least);
  }
  return out;
}

export const kit: Kit<Spec, ExactScaleBasesCase> = {
  name: "exact-scale-bases",
  formula: "min shift_g, max (shift_g − min), S_g = m 2^shift_g",
  spec: fc.record({
    rows: fc.integer({ min: 1, max: 40 }).map((n) => 4 * n),
    groups: fc.integer({ min: 1, max: 5 }),
    scales: fc.constantFrom(...scaleKinds),
    seed: fc.nat(0xffff),
    before: fc.constantFrom(0, 3, 30),
  }),
  boundaries: [...scaleKinds, "least" as const].flatMap((scales, i) =>
    [
      { rows: 4, groups: 1 },
      { rows: 64, groups: 3 },
      { rows: 132, groups: 2 },
    ].map((size) => ({ ...size, scales, seed: i, before: i % 2 })),
  ),
  reach: [
    { rows: 57_344, groups: 2 },
    { rows: 8, groups: 112 },
  ].map((size) => ({ ...size, scales: "ends" as const, seed: 1, before: 0 })),
  make: ({ rows, groups, scales, seed, before }) => {
    const bits =
      scales === "least" ? new Uint16Array(rows * groups).map((_, i) => (37 * i) % 0x800) : scaleBits(scales, seed, rows * groups);
    // Signs, and rows without a scale.
    // Every weight, and all at their ends.
    const weights = new Uint32Array(rows * groups * 4).map((_, i) =>
      seed % 2 === 0 ? 0xf0f0_0f0f * (i % 2) : Math.imul(i + seed, 0x9e37_79b1),
    );
    return {
      rows,
      groups,
      weights,
      scales: bits.map((b, i) => (Math.floor(i / groups) % 7 === 5 ? 0 : b) | (((i % 3) % 2) * 0x8000)),
      before,
    };
  },
  ...equalWords<ExactScaleBasesCase>(({ rows }) => rows + 1, found),
};

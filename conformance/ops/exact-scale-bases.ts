/** What the int4 linears of `exact` know of their scales: each row's least exponent, and how far exponents of a row lie apart at most; equality with the CPU's integers. */
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
  readonly before: number;
}

/** The exponent of |s| · 2^24 as m · 2^shift, m < 2^11; none for 0. */
function shiftOf(bits: number): number | undefined {
  const size = Math.abs(halfNumbers()[bits]!) * 2 ** 24;
  return size === 0 ? undefined : Math.max(0, Math.floor(Math.log2(size)) - 10);
}

/** bases [rows], then the largest distance. */
function found({ rows, groups, scales, before }: ExactScaleBasesCase): Uint32Array {
  const out = new Uint32Array(rows + 1).fill(before, rows);
  for (let n = 0; n < rows; n++) {
    const shifts = Array.from(scales.subarray(n * groups, (n + 1) * groups), shiftOf).filter((s) => s !== undefined);
    if (shifts.length === 0) continue;
    out[n] = Math.min(...shifts);
    out[rows] = Math.max(out[rows]!, Math.max(...shifts) - out[n]!);
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
    return { rows, groups, scales: bits.map((b, i) => (Math.floor(i / groups) % 7 === 5 ? 0 : b) | (((i % 3) % 2) * 0x8000)), before };
  },
  ...equalWords<ExactScaleBasesCase>(({ rows }) => rows + 1, found),
};

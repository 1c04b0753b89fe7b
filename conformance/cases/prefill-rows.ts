/**
 * Kits of the row-wise steps between the matrix products of prefill: f32 in, f16 out. Widths are few: each is a
 * pipeline of its own.
 */
import * as fc from "fast-check";
import type { Expected } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit, Law } from "../kit.ts";

export interface RowsSpec {
  readonly T: number;
  readonly width: number;
  readonly x: Recipe;
  readonly y: Recipe;
}
export interface RowsCase {
  readonly T: number;
  readonly width: number;
  /** [T, width] */
  readonly x: Float32Array;
  /** [width] for the norm, [T, width] for the gate. */
  readonly y: Float32Array;
}

const widths = [32, 96, 1024, 2080] as const;
const rowsSpec: fc.Arbitrary<RowsSpec> = fc.record({
  T: fc.integer({ min: 1, max: 5 }),
  width: fc.constantFrom(...widths),
  x: recipe(),
  y: recipe(),
});
/** Every width; one of which an invocation has more than two eights; and squares that f16 does not hold. */
const rowsBoundaries = [
  ...widths.flatMap((width) => [1, 4].map((T) => ({ T, width, x: plain, y: { ...plain, seed: 2 } }))),
  { T: 2, width: 4640, x: plain, y: { ...plain, seed: 2 } },
  { T: 2, width: 1024, x: { ...plain, exponent: 9 }, y: { ...plain, seed: 2 } },
];

/** Widths of models, more rows than a batch of 128, and rows that fill more than 16 bits of words. */
const rowsReach = (
  [
    { T: 1, width: 8192 },
    { T: 2, width: 14_336 },
    { T: 1, width: 28_672 },
    { T: 300, width: 32 },
    { T: 12, width: 14_336 },
    { T: 64, width: 5120 },
  ] as const
).map((shape) => ({ ...shape, x: plain, y: { ...plain, seed: 2 } }));

const alone = (perRow: boolean): Law<RowsCase> => ({
  name: "computes each row alone, bit for bit",
  async check(c, { run }) {
    const at = (c.T - 1) * c.width;
    const last = await run({ ...c, T: 1, x: c.x.slice(at), y: perRow ? c.y.slice(at) : c.y });
    return sameBits(await run(c), last, at, 0, c.width);
  },
});

export const rowsKit = (name: string, formula: string, expected: (c: RowsCase) => Expected, perRow: boolean): Kit<RowsSpec, RowsCase> => ({
  name,
  formula,
  spec: rowsSpec,
  boundaries: rowsBoundaries,
  reach: rowsReach,
  make: ({ T, width, x, y }) => ({ T, width, x: values(x, T * width), y: values(y, perRow ? T * width : width) }),
  length: (c) => c.T * c.width,
  expected,
  laws: [alone(perRow)],
  refusals: [],
  dotLike: false,
});

/** eps of the norm's pipeline. */
export const PREFILL_EPS: number = Math.fround(1e-5);

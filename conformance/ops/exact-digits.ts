/** Fixed rows of `exact` as digits: digits, their sums over blocks of 32, exponents; equality with the CPU's integers. */
import * as fc from "fast-check";
import { fixedRow } from "../../core/exact/rows.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly K: number;
  readonly rows: number;
  readonly P: 3 | 4;
  readonly x: Recipe;
}
export interface ExactDigitsCase {
  readonly K: number;
  readonly rows: number;
  readonly P: 3 | 4;
  readonly x: Float32Array;
}

/** Few shapes, since each is a pipeline on the GPU: one number, a block and one more, blocks of either width, more than a workgroup's. */
const shapes = [
  { K: 1, P: 3 },
  { K: 33, P: 4 },
  { K: 256, P: 3 },
  { K: 1100, P: 4 },
  { K: 128, P: 4 },
] as const;

/** Σ 256^p d_p = v, each d_p in −128 … 127. */
export function digitsOf(v: number, P: number): number[] {
  const out: number[] = [];
  let rest = v;
  for (let p = 0; p < P; p++) {
    const digit = p === P - 1 ? rest : (rest << 24) >> 24;
    out.push(digit);
    rest = (rest - digit) / 256;
  }
  return out;
}

/**
 * digits [rows, 2 P, B, 4] words, sums [rows, B, 4], exponents [rows], as gpu/kernels/exact/exact-digits.ts lays them out. Exponents are those of a row and
 * `more` values, of which no digits are made.
 */
export function digitWords(
  { K, rows, P, x }: ExactDigitsCase,
  more: Float32Array = new Float32Array(0),
): { digits: Uint32Array; sums: Uint32Array; exponents: Uint32Array } {
  const B = Math.ceil(K / 32);
  const digits = new Uint32Array(rows * P * B * 8);
  const sums = new Int32Array(rows * B * 4);
  const exponents = new Int32Array(rows);
  for (let t = 0; t < rows; t++) {
    const row = Float32Array.from([...x.subarray(t * K, (t + 1) * K), ...more]);
    const { values, exponent } = fixedRow(row, 0, row.length, P === 3 ? 24 : 32);
    exponents[t] = exponent;
    for (let k = 0; k < K; k++) {
      const b = k >> 5;
      const j = (k & 31) >> 2;
      for (const [p, digit] of digitsOf(values[k]!, P).entries()) {
        digits[(((t * P + p) * 2 + (j >> 2)) * B + b) * 4 + (j & 3)]! |= (digit & 255) << (8 * (k & 3));
        sums[(t * B + b) * 4 + p]! += digit;
      }
    }
  }
  return { digits, sums: new Uint32Array(sums.buffer), exponents: new Uint32Array(exponents.buffer) };
}

const allWords = (c: ExactDigitsCase): Uint32Array => {
  const { digits, sums, exponents } = digitWords(c);
  return Uint32Array.from([...digits, ...sums, ...exponents]);
};

export const kit: Kit<Spec, ExactDigitsCase> = {
  name: "exact-digits",
  formula: "v = rne(x · 2^−e) = Σ 256^p d_p",
  spec: fc
    .record({ shape: fc.constantFrom(...shapes), rows: fc.integer({ min: 1, max: 3 }), x: exactRecipe })
    .map(({ shape, ...rest }) => ({ ...shape, ...rest })),
  boundaries: [
    ...exactRecipes.flatMap((x) => shapes.map((shape) => ({ ...shape, rows: 2, x }))),
    // Several words of a lane.
    { K: 1280, rows: 1, P: 3, x: exactRecipes[5]! },
  ],
  reach: [
    { K: 14_336, rows: 1, P: 3 },
    { K: 1, rows: 17_000, P: 3 },
    { K: 33, rows: 600, P: 4 },
    { K: 256, rows: 130, P: 3 },
    // Of numbers far apart, the largest in the last lane too.
    { K: 128, rows: 130, P: 3, x: { kind: "mixed" as const, exponent: 0, seed: 1 } },
  ].map((shape) => ({ x: exactRecipes[5]!, ...shape, P: shape.P as 3 | 4 })),
  make: ({ K, rows, P, x }) => ({ K, rows, P, x: exactValues(x, K * rows) }),
  ...equalWords<ExactDigitsCase>(({ K, rows, P }) => rows * (Math.ceil(K / 32) * (8 * P + 4) + 1), allWords),
};

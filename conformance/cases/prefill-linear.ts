/** What the kits of the products by subgroup matrices share: f16 operands, f32 sums (docs/accuracy.md, subgroup matrices). */
import type { AwqMatrix } from "../../core/tensor.ts";
import {
  addTerm,
  clearTerms,
  type Expected,
  expect,
  gamma,
  halfNumbers,
  magnitude,
  makeExpected,
  makeTerms,
  matrixSums,
  sumError,
} from "../accuracy.ts";
import { finiteF16Bits, type Recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Law } from "../kit.ts";
import type { AwqSpec } from "./matrices.ts";

/** Smallest normal f16; operands below may be read as zero. */
export const F16_TINY: number = 2 ** -14;

/** A number as f16 holds it. */
export const toF16 = (x: number): number => halfNumbers()[finiteF16Bits(Math.max(-65504, Math.min(65504, x)))]!;

/** A recipe's values as f16 holds them. */
export const f16Row = (r: Recipe, length: number): Float32Array => values(r, length).map(toF16);

export interface LinearSpec {
  readonly shape: number;
  /** Only every so manyth value of x is not 0, where so many are multiplied that each counts. */
  readonly every?: number;
  readonly T: number;
  readonly adds: boolean;
  readonly x: Recipe;
  readonly weight: AwqSpec;
}
export interface MatrixLinearCase {
  readonly T: number;
  /** [T, K]; f16 values for matrices of f16 */
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
  /** [T, N]: what y holds before; null where the product replaces it. */
  readonly before: Float32Array | null;
}

/** A case's x with all but every so manyth value 0. */
export const sparse = (x: Float32Array, every = 1): Float32Array => (every === 1 ? x : x.map((value, i) => (i % every === 0 ? value : 0)));

/** What y holds before a product is added to it: far from overflow. */
export const valuesBefore = (x: Recipe, length: number): Float32Array =>
  values({ ...x, seed: x.seed + 1 }, length).map((v) => Math.max(-1e30, Math.min(1e30, v)));

export const rowAlone: Law<MatrixLinearCase> = {
  name: "computes each row alone, bit for bit",
  async check(c, { run }) {
    const { inFeatures: K, outFeatures: N } = c.weight;
    const from = c.T - 1;
    const alone = await run({ ...c, T: 1, x: c.x.slice(from * K), before: c.before?.slice(from * N) ?? null });
    return sameBits(await run(c), alone, from * N, 0, N);
  },
};

/**
 * Σ_k x · W (+ before) by matrices of f16 with f32 sums, `weightAt` a weight and how far its f16 may be from it; a subnormal
 * activation may be read as zero (matrixSums). Products of two f16 are exact in f32; sums as `matrixSums` has them.
 */
export function expectF16Products(
  { T, K, N, x, before }: { readonly T: number; readonly K: number; readonly N: number } & Pick<MatrixLinearCase, "x" | "before">,
  weightAt: (n: number, k: number) => readonly [value: number, away: number],
): Expected {
  const e = makeExpected(T * N);
  const terms = makeTerms();
  const w = new Float64Array(K);
  const away = new Float64Array(K);
  // Where each row of x is not 0.
  const kept = Array.from({ length: T }, (_, t) => {
    const row = x.subarray(t * K, (t + 1) * K);
    return Uint32Array.from(row.keys()).filter((k) => row[k] !== 0);
  });
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) [w[k], away[k]] = weightAt(n, k) as [number, number];
    for (let t = 0; t < T; t++) {
      clearTerms(terms);
      let moved = 0;
      for (const k of kept[t]!) {
        const xk = x[t * K + k]!;
        addTerm(terms, xk, w[k]!, matrixSums);
        moved += Math.abs(xk) * away[k]!;
      }
      if (before) addTerm(terms, before[t * N + n]!, 1, matrixSums);
      const error = sumError(terms, matrixSums) + moved * (1 + gamma(K + 1, matrixSums.u));
      expect(e, t * N + n, terms.sum, error, magnitude(terms) + moved, matrixSums);
    }
  }
  return e;
}

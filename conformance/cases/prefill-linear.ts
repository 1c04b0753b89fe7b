/** What the kits of the products by subgroup matrices share: f16 operands, f32 sums (docs/accuracy.md, subgroup matrices). */
import type { AwqMatrix } from "../../core/tensor.ts";
import { halfNumbers } from "../accuracy.ts";
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

/** The embedding that starts a row of the fixed16 decode kernels. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import { dequantizeFixed16, FIXED16_MAX } from "../../core/quant/fixed16.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { blocksOf } from "../../gpu/wgsl/fixed16.ts";
import { denseElement, makeExpected } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { farHidden, nearlyOne, quantized, rowKinds, rowLength, rowOf, shapeOf, shapes } from "../cases/fixed16.ts";
import { denseMatrix, farRows, sparseMatrix } from "../cases/matrices.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface EmbedSpec {
  readonly shape: number;
  readonly id: number;
  readonly dtype: FloatDType;
  readonly table: Recipe;
  readonly norm: Recipe;
  /** Rows of the table, of which that of the id alone and its neighbours are not zero; five where absent. */
  readonly V?: number;
}
export interface EmbedCase {
  readonly table: DenseMatrix;
  readonly id: number;
  readonly norm: Float32Array;
}

/** Rows of the embedding, in two pieces of 3 and 2. */
const VOCABULARY = 5;
const dtypes = ["F16", "BF16", "F32"] as const;

const ones = (table: DenseMatrix): DenseMatrix =>
  denseMatrix({ kind: "ones", exponent: 0, seed: 1 }, table.dtype, VOCABULARY, table.inFeatures);

export const kit: Kit<EmbedSpec, EmbedCase> = {
  name: "embed-fixed16",
  formula: "residual = table[id]; the digits of residual ∘ norm; Σ residual² a block",
  spec: fc.record({
    shape: fc.nat(shapes.length - 1),
    id: fc.nat(VOCABULARY - 1),
    dtype: fc.constantFrom(...dtypes),
    table: recipe(rowKinds),
    norm: recipe(rowKinds),
  }),
  boundaries: [
    ...shapes.flatMap((_, shape) =>
      [0, 2, 3, 4].map((id) => ({ shape, id, dtype: dtypes[id % 3]!, table: plain, norm: { ...plain, seed: 4 } })),
    ),
    { shape: 0, id: 1, dtype: "F16", table: plain, norm: nearlyOne },
  ],
  reach: [
    ...dtypes.map((dtype) => ({ shape: farHidden, id: 4, dtype, table: plain, norm: { ...plain, seed: 2 } })),
    // Rows far down a table of f32.
    { shape: 0, id: 65_537, V: 152_064, dtype: "F32", table: plain, norm: { ...plain, seed: 2 } },
    ...(
      [
        [152_064, 65_537],
        [152_064, 152_063],
        [256_000, 131_072],
      ] as const
    ).map(([V, id]) => ({ shape: 0, id, V, dtype: "F16" as const, table: plain, norm: { ...plain, seed: 2 } })),
  ],
  make({ shape, id, dtype, table, norm, V }) {
    const { K } = shapeOf(shape);
    const rows = V ? sparseMatrix(table, dtype, V, K, farRows(V)) : denseMatrix(table, dtype, VOCABULARY, K);
    return { table: rows, id, norm: values(norm, K) };
  },
  // The kernel does not leave residual ∘ norm itself: its digits stand for it.
  length: (c) => rowLength(c.norm.length),
  expected(c) {
    const K = c.norm.length;
    const residual = makeExpected(K);
    for (let k = 0; k < K; k++) residual.value[k] = denseElement(c.table, c.id, k);
    const e = rowOf(residual, c.norm);
    for (let b = 0; b < blocksOf(K); b++) {
      let most = 0;
      for (let k = 32 * b; k < Math.min(K, 32 * (b + 1)); k++) most = Math.max(most, Math.abs(e.value[K + k]!) + e.bound[K + k]!);
      // Half a step of the block: the smallest power of two for which the largest |v| is at most 32512, or 2⁻¹⁰².
      for (let k = 32 * b; k < Math.min(K, 32 * (b + 1)); k++) e.bound[K + k]! += Math.max((2 * most) / FIXED16_MAX, 2 ** -102) / 2;
    }
    return e;
  },
  laws: [
    {
      name: "quantizes as the CPU does, digit for digit, where residual ∘ norm is exact: also at the exponent's floor",
      async check(c, { run }) {
        const K = c.norm.length;
        const table = ones(c.table);
        for (const unit of [1, 2 ** -95]) {
          const norm = c.norm.map((w) => w * unit);
          const expected = dequantizeFixed16(quantized(norm));
          const wrong = sameBits(await run({ ...c, table, norm }), expected, K, 0, K);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "marks the block that holds an infinity with NaN, and no other",
      async check(c, { run }) {
        const K = c.norm.length;
        const table = ones(c.table);
        const at = (7 * c.id + K / 2) % K;
        const out = await run({ ...c, table, norm: c.norm.map((_, k) => (k === at ? -Infinity : 1)) });
        for (let k = 0; k < K; k++)
          if (Number.isNaN(out[K + k]) !== (k >> 5 === at >> 5)) return `element ${k}: ${out[K + k]} where ${at} is infinite`;
        return null;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};

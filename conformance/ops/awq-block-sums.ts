/**
 * The integers under every fixed16 linear: a block's scale, its Σ v, and Σ v (q − z) for each output. Equality, not a bound: integers do
 * not depend on the order of summation, so every device and variant must give these. Words are compared as two 16-bit numbers each.
 */
import * as fc from "fast-check";
import { awqBlockSums } from "../../core/ops/awq-matmul-fixed16.ts";
import { type Fixed16, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { makeExpected } from "../accuracy.ts";
import { dataKinds, type Recipe, recipe, values } from "../arbitraries.ts";
import { type AwqSpec, awqMatrix, awqSpec } from "../cases/matrices.ts";
import { halves } from "../cases/words.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly blocks: number;
  readonly groupBlocks: number;
  readonly N: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
}
export interface BlockSumsCase {
  /** [K] */
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
}

/** Few shapes, since each is a pipeline on the GPU: one block; groups of one; groups of four; more blocks than a workgroup. */
const shapes = [
  { blocks: 1, groupBlocks: 1 },
  { blocks: 3, groupBlocks: 1 },
  { blocks: 12, groupBlocks: 4 },
  { blocks: 66, groupBlocks: 2 },
] as const;
const nibbles: readonly AwqSpec[] = (["random", "ends", "every"] as const).map((kind) => ({ q: kind, z: kind, scales: "usual", seed: 1 }));

/** As words: the scales' bits [K/32], Σ v [K/32], block sums [N, K/32]. */
export function blockWords({ scales, sums }: Pick<Fixed16, "scales" | "sums">, products: Int32Array): Uint32Array {
  const words = new Uint32Array(scales.length + sums.length + products.length);
  words.set(new Uint32Array(scales.slice().buffer));
  words.set(sums, scales.length);
  words.set(products, scales.length + sums.length);
  return words;
}

export const kit: Kit<Spec, BlockSumsCase> = {
  name: "awq-block-sums",
  formula: "sums[n, b] = Σ_{k in b} v[k] · (q[k, n] − z[g, n]), x ≈ v · 2^e_b, exact",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      const a = quantizeFixed16(c.x, 1, c.x.length);
      out.set(halves(blockWords(a, awqBlockSums(a, c.weight))));
    },
  },
  spec: fc
    .record({
      shape: fc.nat(shapes.length - 1),
      N: fc.constantFrom(8, 16, 24),
      x: recipe(dataKinds, 60),
      weight: awqSpec,
    })
    .map(({ shape, ...rest }) => ({ ...shapes[shape]!, ...rest })),
  boundaries: shapes.flatMap((shape) =>
    dataKinds.flatMap((kind) => nibbles.map((weight) => ({ ...shape, N: 8, x: { kind, exponent: 0, seed: 1 }, weight }))),
  ),
  reach: [
    { blocks: 448, groupBlocks: 4 },
    { blocks: 448, groupBlocks: 1 },
    { blocks: 896, groupBlocks: 4 },
  ].map((shape) => ({ ...shape, N: 8, x: { kind: "normal" as const, exponent: 0, seed: 1 }, weight: nibbles[0]! })),
  make: ({ blocks, groupBlocks, N, x, weight }) => ({
    x: values(x, 32 * blocks),
    weight: awqMatrix(weight, 32 * blocks, N, 32 * groupBlocks),
  }),
  length: ({ x, weight }) => 2 * (x.length / 32) * (weight.outFeatures + 2),
  expected({ x, weight }) {
    const a = quantizeFixed16(x, 1, x.length);
    const numbers = halves(blockWords(a, awqBlockSums(a, weight)));
    const e = makeExpected(numbers.length);
    e.value.set(numbers);
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};

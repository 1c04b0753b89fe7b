/** Small random linears and their inputs, and errors from their definitions: what the laws of the quantizer's stages are held on. */
import fc from "fast-check";
import { type CpuOps, referenceOps } from "../../../../../core/model/ops.ts";
import type { Rounded } from "../../../../../core/quant/search/descend.ts";
import { addToGram, finishGram, type Gram, makeGramSums } from "../../../../../core/quant/search/gram.ts";
import { type Grids, gridsOf, rangesOf, valuesOf } from "../../../../../core/quant/search/grid.ts";
import type { WeightMatrix } from "../../../../../core/quant/search/scale-search.ts";
import { numbers } from "../../../fixtures/random-model.ts";

export const ops: CpuOps = referenceOps;

export interface Case {
  readonly matrix: WeightMatrix;
  readonly x: Float32Array;
  readonly T: number;
  readonly G: number;
  readonly bits: 2 | 3 | 4;
}

/** Weights, and inputs some of whose channels are much larger than others and hang together, as real ones do. */
export const arbitraryCase: fc.Arbitrary<Case> = fc
  .record({
    seed: fc.nat({ max: 1e6 }),
    n: fc.integer({ min: 1, max: 3 }),
    groups: fc.integer({ min: 1, max: 3 }),
    G: fc.constantFrom(8, 16),
    T: fc.integer({ min: 1, max: 60 }),
    bits: fc.constantFrom(2, 3, 4) as fc.Arbitrary<2 | 3 | 4>,
  })
  .map(({ seed, n, groups, G, T, bits }) => {
    const next = numbers(seed);
    const [N, K] = [8 * n, groups * G];
    const size = Array.from({ length: K }, () => Math.exp(2 * next()));
    const x = new Float32Array(T * K);
    for (let t = 0; t < T; t++) {
      const common = next();
      for (let k = 0; k < K; k++) x[t * K + k] = size[k]! * (next() + 0.7 * common);
    }
    return { matrix: { W: Float32Array.from({ length: N * K }, () => next() ** 3), N, K }, x, T, G, bits };
  });

export const gramOf = ({ x, T, matrix: { K } }: Case): Gram => {
  const sums = makeGramSums(K);
  const half = Math.floor(T / 2);
  if (half > 0) addToGram(ops, sums, x.subarray(0, half * K), half);
  addToGram(ops, sums, x.subarray(half * K), T - half);
  return finishGram(ops, sums);
};

/** Σ over tokens of the squared error of each output, from its definition. */
export function errorsByTokens({ x, T, matrix: { N, K } }: Case, delta: ArrayLike<number>): number[] {
  return Array.from({ length: N }, (_, n) => {
    let total = 0;
    for (let t = 0; t < T; t++) {
      let y = 0;
      for (let k = 0; k < K; k++) y += x[t * K + k]! * delta[n * K + k]!;
      total += y * y;
    }
    return total;
  });
}

export const deltaOf = ({ W }: WeightMatrix, { q, grids }: Rounded): Float32Array => valuesOf(q, grids).map((value, i) => value - W[i]!);
export const wholeGrids = ({ matrix: { W, N, K }, G, bits }: Case): Grids => gridsOf(rangesOf(W, N, K, G), bits, G);
/** Slack for sums of f32 products: the errors compared are of this size. */
export const slack = (gram: Gram, delta: Float32Array): number => {
  let most = 0;
  for (let k = 0; k < gram.K; k++) most = Math.max(most, gram.H[k * gram.K + k]!);
  return 4 * 2 ** -24 * gram.K * most * delta.reduce((sum, d) => sum + d * d, 0);
};

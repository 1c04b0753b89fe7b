/** int4 linears of `exact`: equality with the CPU, any binary16 scales, zero points and nibbles at their ends, biases, results that are added. */
import * as fc from "fast-check";
import { referenceExactOps } from "../../core/exact/ops.ts";
import { columnOfNibble } from "../../core/quant/awq-format.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Recipe, scaleKinds } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { type ExactLinearCase, productsBy } from "../cases/exact-linear.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly shape: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  readonly other: Recipe;
  /** Whether sums are the largest that columns of eight bits can meet. */
  readonly largest: boolean;
  /** Instead of these `besideTie`. */
  readonly ties?: "odd" | "whole";
  /** The weights of the largest, and `edgeInput`. */
  readonly edge?: boolean;
}
export type ExactAwqCase = ExactLinearCase<AwqMatrix>;

/** Few shapes, since each is a pipeline on the GPU: one block, all that can vary, more blocks than lanes, and groups of no whole block. */
const shapes = [
  { K: 32, N: 8, group: 32, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 256, N: 24, group: 128, T: 5, P: 4, tile: 4, bias: true, adds: true },
  { K: 2112, N: 8, group: 64, T: 2, P: 3, tile: 4, bias: true, adds: false },
  { K: 1152, N: 56, group: 128, T: 1, P: 4, tile: 1, bias: true, adds: true },
  // More rows and columns than a tile of matrices has.
  { K: 384, N: 136, group: 128, T: 67, P: 3, tile: 4, bias: true, adds: true },
  { K: 8320, N: 8, group: 64, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 72, N: 16, group: 24, T: 3, P: 4, tile: 1, bias: true, adds: true },
  // Of models, for cases of reach: 112 groups, and outputs as many as a feed-forward network has.
  { K: 14_336, N: 8, group: 128, T: 1, P: 3, tile: 1, bias: true, adds: true },
  { K: 32, N: 28_672, group: 32, T: 1, P: 3, tile: 1, bias: true, adds: true },
  // Rows behind the first tile too.
  { K: 14_336, N: 8, group: 128, T: 100, P: 4, tile: 4, bias: true, adds: true },
  // As many inputs as columns of i32 hold.
  { K: 43_648, N: 8, group: 128, T: 5, P: 3, tile: 4, bias: false, adds: false },
  { K: 43_648, N: 8, group: 128, T: 5, P: 4, tile: 4, bias: false, adds: false },
  // As many rows as a chunk has, outputs past 16 bits of words; and both for tiles whose outputs are wide.
  { K: 128, N: 136, group: 128, T: 600, P: 3, tile: 4, bias: true, adds: true },
  { K: 128, N: 136, group: 128, T: 600, P: 4, tile: 4, bias: true, adds: true },
  { K: 128, N: 28_672, group: 128, T: 3, P: 3, tile: 4, bias: true, adds: true },
  // Several groups of wide outputs, wider than usual.
  { K: 768, N: 28_672, group: 256, T: 1, P: 3, tile: 1, bias: true, adds: true },
  { K: 768, N: 14_336, group: 256, T: 2, P: 4, tile: 4, bias: true, adds: true },
  { K: 400, N: 16, group: 200, T: 1, P: 3, tile: 1, bias: false, adds: false },
  { K: 128, N: 18_432, group: 128, T: 5, P: 4, tile: 4, bias: true, adds: true },
  { K: 8320, N: 8, group: 64, T: 67, P: 3, tile: 1, bias: false, adds: false },
  // More than 256 blocks of four digits in one row: a feed-forward network of 8,960 whose down_proj a workgroup holds whole.
  { K: 8960, N: 8, group: 128, T: 1, P: 4, tile: 1, bias: true, adds: true },
] as const;

/** Digits −128, −128, −126 of x, and of four digits a lowest 0. */
const LARGEST_INPUT = -0x7e8080;
/** Every q − z ± 15, every scale ± 2047 · 2^(E − 1) with E of 8 and 16 in turn. */
const largestOf = (weight: AwqMatrix): AwqMatrix => ({
  ...weight,
  qweight: weight.qweight.map(() => 0xf0f0f0f0 | 0),
  qzeros: weight.qzeros.map(() => 0x0f0f0f0f),
  scales: weight.scales.map((_, i) => {
    const group = Math.floor(i / weight.outFeatures);
    return ((i % 3 === 0 ? 0x8000 : 0) | ((group % 2 === 0 ? 8 : 16) << 10)) + 1023;
  }),
});

/**
 * Eight outputs of more than 64 bits: at a tie of 24, a product of 25 bits, odd, times 2^40, and beside it 0, ±1 or ±2^32; or ±2^64 and nothing beside it.
 * The three come from a number each, of a group each, of scales at their ends, some negative.
 */
const ties = { K: 384, N: 8, group: 128, T: 1, P: 3, tile: 1 } as const;
function besideTie(kind: "odd" | "whole"): ExactAwqCase {
  const { K, N, group, T, P, tile } = ties;
  const odd = kind === "odd";
  const word = (of: (n: number) => number): number => columnOfNibble.reduce((sum, n, at) => sum + of(n) * 2 ** (4 * at), 0);
  const units = odd ? [0, 0, 1, -1, 0, 0, 1, 1] : [];
  const words = odd ? [0, 0, 0, 0, 1, -1, 0, 1] : [];
  const [x, qweight] = [new Float32Array(T * K), new Int32Array((K * N) / 8).fill(0x88888888)];
  for (const [g, value, q] of [
    [0, (odd ? 16385 : 16384) * 2 ** 8, () => 15],
    [1, 1, (n: number) => 8 + (units[n] ?? 0)],
    [2, 1, (n: number) => 8 + (words[n] ?? 0)],
  ] as const) {
    x[g * group] = value;
    qweight[g * group] = word(q);
  }
  const scales = [(n: number) => (n % 4 === 3 ? 0xf800 : 0x7800) | (odd ? 1 + 2 * n : 0), () => 0x0001, () => 23 << 10].flatMap((bits) =>
    Array.from({ length: N }, (_, n) => bits(n)),
  );
  const qzeros = Int32Array.of(0x77777777, 0x88888888, 0x88888888);
  const weight = {
    kind: "awq",
    inFeatures: K,
    outFeatures: N,
    groupSize: group,
    qweight,
    qzeros,
    scales: Uint16Array.from(scales),
  } as const;
  return { T, P, tile, x, weight, bias: null, initial: null };
}

/**
 * Rows for weights of ± 15: a step whose sums, ± 1920 v, stay below 2^31 as far as Σ v² tells, then the row's largest. In some of the rows after the first 32
 * Σ v² does not tell, nor do they.
 */
function edgeInput(T: number, K: number): Float32Array {
  const [low, ...high] = [1_114_112, 1_114_113, 1_118_480, 1_118_482];
  const x = new Float32Array(T * K);
  for (let t = 0; t < T; t++) {
    x.fill(t >= 32 && t % 5 === 4 ? high[t % 3]! : low!, t * K, t * K + 128);
    x[t * K + K - 1] = LARGEST_INPUT;
  }
  return x;
}

const result = (c: ExactAwqCase): Float32Array => productsBy(referenceExactOps, c);

export const kit: Kit<Spec, ExactAwqCase> = {
  name: "exact-awq",
  formula: "rn(Σ_g S_g Σ_k v_k (q − z) · 2^(e − 24)) + bias",
  spec: fc.record({ shape: fc.nat(4), x: exactRecipe, weight: awqSpec, other: exactRecipe, largest: fc.constant(false) }),
  boundaries: [0, 1, 2, 3, 4].flatMap((shape) => [
    ...exactRecipes.map((x) => ({ shape, x, weight: usualAwq, other: exactRecipes[5]!, largest: false })),
    ...scaleKinds.map((scales) => ({
      shape,
      x: exactRecipes[5]!,
      weight: { ...usualAwq, scales, q: "ends" as const },
      other: exactRecipes[9]!,
      largest: false,
    })),
    { shape, x: exactRecipes[5]!, weight: usualAwq, other: exactRecipes[5]!, largest: true },
    { shape, x: exactRecipes[5]!, weight: usualAwq, other: exactRecipes[5]!, largest: true, edge: true },
    ...(shape === 0
      ? (["odd", "whole"] as const).map((at) => ({
          ...{ shape, x: exactRecipes[0]!, weight: usualAwq, other: exactRecipes[0]! },
          largest: false,
          ties: at,
        }))
      : []),
    // More units than a workgroup has lanes.
    ...(shape === 4 ? [{ shape: 5, x: exactRecipes[5]!, weight: usualAwq, other: exactRecipes[5]!, largest: false }] : []),
  ]),
  reach: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20].map((shape) => ({
    shape,
    x: exactRecipes[5]!,
    weight: usualAwq,
    other: exactRecipes[5]!,
    largest: shape === 10 || shape === 11,
  })),
  make({ shape, x, weight, other, largest, ties: at, edge }) {
    if (at) return besideTie(at);
    const { K, N, group, T, P, tile, bias, adds } = shapes[shape]!;
    return {
      T,
      P,
      tile,
      x: edge ? edgeInput(T, K) : largest ? new Float32Array(T * K).fill(LARGEST_INPUT) : exactValues(x, T * K),
      weight: largest ? largestOf(awqMatrix(weight, K, N, group)) : awqMatrix(weight, K, N, group),
      bias: bias ? exactValues(other, N) : null,
      initial: adds ? exactValues({ ...other, seed: other.seed + 1 }, T * N) : null,
    };
  },
  ...equalWords<ExactAwqCase>(
    ({ T, weight }) => T * weight.outFeatures,
    (c) => wordsOf(result(c)),
  ),
};

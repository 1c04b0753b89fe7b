/** Gate and up of a prompt's rows by subgroup matrices, and SiLU of them, as f16 operands. */
import * as fc from "fast-check";
import { asF16, siluMulOf, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import { f16Row, type MatrixLinearCase, sparse } from "../cases/prefill-linear.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";
import { expectMatrixLinear, MOST_SCALE } from "./awq-prefill-f16-matrix.ts";

interface GateUpMatrixSpec {
  readonly shape: number;
  readonly T: number;
  /** As in cases/prefill-linear.ts. */
  readonly every?: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  /** No biases where absent. */
  readonly bias?: Recipe | undefined;
}
export interface GateUpMatrixCase extends Pick<MatrixLinearCase, "T" | "x"> {
  /** Gate and up side by side, each of F columns. */
  readonly weight: MatrixLinearCase["weight"];
  /** [2F] */
  readonly bias: Float32Array | null;
}

/** One step of 64 along K and several, in groups of half a step on; F whole tiles of 16, of 64 and of 128, and not. */
const shapes = [
  { K: 64, G: 64, F: 32 },
  { K: 192, G: 32, F: 96 },
  { K: 576, G: 64, F: 64 },
  { K: 256, G: 128, F: 160 },
  // Of models, cut short along one side; groups wider than usual.
  { K: 128, G: 64, F: 14_336 },
  { K: 6528, G: 128, F: 128 },
  { K: 768, G: 256, F: 64 },
  // Several turns of a loop over K at more outputs than 4,096.
  { K: 256, G: 64, F: 2304 },
] as const;

export const kit: Kit<GateUpMatrixSpec, GateUpMatrixCase> = {
  name: "awq-gate-up-f16-matrix",
  formula: "h[t] = f16(silu(x[t] · f16(Wgate) + bias) · (x[t] · f16(Wup) + bias)), f32 sums",
  spec: fc.record({
    shape: fc.nat(3),
    T: fc.integer({ min: 1, max: 150 }),
    x: recipe(),
    weight: awqSpec,
    bias: fc.option(recipe(), { nil: undefined }),
  }),
  boundaries: [
    ...[1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129].map((T) => ({ shape: 0, T, x: plain, weight: usualAwq })),
    ...[1, 2, 3].flatMap((shape) => [undefined, { ...plain, seed: 6 }].map((bias) => ({ shape, T: 3, x: plain, weight: usualAwq, bias }))),
  ],
  // Every row of each tile at the widest outputs and inputs.
  reach: [
    ...[16, 32, 64].flatMap((T) => [
      { shape: 4, T, every: 37 },
      { shape: 5, T, every: 37 },
    ]),
    { shape: 6, T: 2 },
    // More rows than a tile of 128 has, and than five of them.
    { shape: 4, T: 130, every: 97 },
    { shape: 5, T: 256, every: 37 },
    { shape: 6, T: 700, every: 37 },
    { shape: 7, T: 130, every: 37 },
  ].map((far) => ({ ...far, x: plain, weight: usualAwq, bias: { ...plain, seed: 6 } })),
  make({ shape, T, every, x, weight, bias }) {
    const { K, G, F } = shapes[shape]!;
    const drawn = awqMatrix(weight, K, 2 * F, G);
    const scales = drawn.scales.map((bits) => ((bits & 0x7fff) > MOST_SCALE ? (bits & 0x8000) | MOST_SCALE : bits));
    return { T, x: sparse(f16Row(x, T * K), every), weight: { ...drawn, scales }, bias: bias ? values(bias, 2 * F) : null };
  },
  length: (c) => (c.T * c.weight.outFeatures) / 2,
  expected({ T, x, weight, bias }) {
    const { value, bound } = expectMatrixLinear({ T, x, weight, before: null });
    const F = weight.outFeatures / 2;
    const half = (first: number): { value: Float64Array; bound: Float64Array } => {
      const of = { value: new Float64Array(T * F), bound: new Float64Array(T * F) };
      for (let t = 0; t < T; t++)
        for (let f = 0; f < F; f++) {
          const at = t * 2 * F + first + f;
          const sum = value[at]! + (bias?.[first + f] ?? 0);
          of.value[t * F + f] = sum;
          of.bound[t * F + f] = bound[at]! + (bias ? (Math.abs(sum) + bound[at]!) * wgsl.u : 0);
        }
      return of;
    };
    return asF16(siluMulOf(half(0), half(F), wgsl));
  },
  laws: [
    {
      name: "computes each row alone, bit for bit",
      async check(c, { run }) {
        const { inFeatures: K, outFeatures } = c.weight;
        const [F, last] = [outFeatures / 2, c.T - 1];
        return sameBits(await run(c), await run({ ...c, T: 1, x: c.x.slice(last * K) }), last * F, 0, F);
      },
    },
  ],
  refusals: [],
  dotLike: false,
};

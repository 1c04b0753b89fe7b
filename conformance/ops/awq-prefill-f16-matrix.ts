/** The int4 linears of a prompt by subgroup matrices: f16 operands, f32 sums. */
import * as fc from "fast-check";
import { type Expected, expectF16, halfNumbers, nibble } from "../accuracy.ts";
import { axis, plain, recipe } from "../arbitraries.ts";
import { awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import {
  expectF16Products,
  F16_TINY,
  f16Row,
  type LinearSpec,
  type MatrixLinearCase,
  rowAlone,
  sparse,
  valuesBefore,
} from "../cases/prefill-linear.ts";
import type { Kit } from "../kit.ts";

/** 65504 / 15, down to a power of two: the largest scale whose weights f16 holds. */
export const MOST_SCALE = 0x6c00;

/**
 * Steps of 64 along K: one, three, four in groups of two, nine, sixty-six (for boundary cases alone), five; two tiles
 * of 128 outputs; half a tile more than one, in groups of half a step.
 */
const shapes = [
  { K: 64, G: 64, N: 128 },
  { K: 192, G: 64, N: 128 },
  { K: 256, G: 128, N: 256 },
  { K: 576, G: 64, N: 128 },
  { K: 4224, G: 64, N: 128 },
  { K: 320, G: 64, N: 128 },
  { K: 14_336, G: 128, N: 128 },
  { K: 192, G: 64, N: 28_672 },
  { K: 192, G: 32, N: 192 },
  // For cases of reach: outputs as many as a residual stream is wide; one group for a whole column.
  { K: 320, G: 64, N: 4352 },
  { K: 512, G: 512, N: 128 },
  // K in pieces of which the last begins beyond 4096.
  { K: 6528, G: 128, N: 256 },
] as const;

export const kit: Kit<LinearSpec, MatrixLinearCase> = {
  name: "awq-prefill-f16-matrix",
  formula: "y[t, n] (+)= Σ_k x[t, k] · f16(s[g, n] · (q[k, n] − z[g, n])), f32 sums",
  spec: fc.record({ shape: fc.constantFrom(0, 1, 2, 3, 5, 8), T: axis(5, 1, [16, 64]), adds: fc.boolean(), x: recipe(), weight: awqSpec }),
  boundaries: [
    ...[1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257].map((T) => ({ shape: 0, T, adds: T % 2 === 0, x: plain, weight: usualAwq })),
    // Every row of a tile sums over several steps.
    { shape: 1, T: 128, adds: false, x: plain, weight: usualAwq },
    ...[1, 2, 3, 4, 5, 8].flatMap((shape) => [false, true].map((adds) => ({ shape, T: 3, adds, x: plain, weight: usualAwq }))),
  ],
  // What reaches every load of a tile, those of the next step too: every row at the widest input, at the most outputs a
  // residual stream has, more rows than 512; the most outputs of all; one group for a whole column.
  reach: [
    { shape: 6, T: 128, every: 257 },
    { shape: 6, T: 16, every: 257 },
    { shape: 7, T: 2, every: 7 },
    { shape: 9, T: 128, every: 37 },
    { shape: 1, T: 700, every: 7 },
    { shape: 10, T: 3 },
    // Every row of a tile of 32 and of 64.
    { shape: 11, T: 32, every: 37 },
    { shape: 11, T: 64, every: 37 },
    // And rows behind those of the first tile of 128.
    { shape: 11, T: 256, every: 37 },
  ].map((far) => ({ ...far, adds: true, x: plain, weight: usualAwq })),
  make({ shape, T, adds, x, weight, every }) {
    const { K, G, N } = shapes[shape]!;
    const drawn = awqMatrix(weight, K, N, G);
    return {
      T,
      x: sparse(f16Row(x, T * K), every),
      weight: { ...drawn, scales: drawn.scales.map((bits) => ((bits & 0x7fff) > MOST_SCALE ? (bits & 0x8000) | MOST_SCALE : bits)) },
      before: adds ? valuesBefore(x, T * N) : null,
    };
  },
  length: (c) => c.T * c.weight.outFeatures,
  expected: expectMatrixLinear,
  laws: [
    rowAlone,
    {
      name: "is exact on small integers and scales that are powers of two",
      async check(c, { run }) {
        const x = c.x.map((_, i) => ((i * 29) % 17) - 8);
        const weight = { ...c.weight, scales: c.weight.scales.map((_, i) => [0x3c00, 0x3800, 0x4000][i % 3]!) };
        const one = { ...c, x, weight, before: null };
        const { value } = expectMatrixLinear(one);
        const out = await run(one);
        const i = out.findIndex((y, n) => y !== value[n]);
        return i < 0 ? null : `element ${i}: expected exactly ${value[i]}, got ${out[i]}`;
      },
    },
  ],
  refusals: [],
  dotLike: true,
};

/** Each weight is a product rounded to f16, to either neighbour, |error| ≤ one ULP (expectF16); a subnormal scale may be read as zero. */
export function expectMatrixLinear({ T, x, weight, before }: MatrixLinearCase): Expected {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
  const half = halfNumbers();
  return expectF16Products({ T, K, N, x, before }, (n, k) => {
    const g = Math.floor(k / G);
    const s = half[scales[g * N + n]!]!;
    const w = s * (nibble(qweight, N, k, n) - nibble(qzeros, N, g, n));
    return [w, Math.abs(s) < F16_TINY ? Math.abs(w) : expectF16(w).bound];
  });
}

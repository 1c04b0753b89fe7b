/** The int4 linears of a prompt in exact integers by subgroup matrices: digits of fixed16 in blocks of 128. */
import * as fc from "fast-check";
import { quantizeFixed16 } from "../../core/quant/fixed16.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import { type Expected, expectFixed16, wgsl } from "../accuracy.ts";
import { axis, plain, recipe, values } from "../arbitraries.ts";
import { awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import { type LinearSpec, type MatrixLinearCase, rowAlone, sparse, valuesBefore } from "../cases/prefill-linear.ts";
import type { Kit } from "../kit.ts";

const B = DIGITS_BLOCK;

/** One block, several, groups of two blocks and two tiles of 128 outputs; the last for boundary cases alone. */
const shapes = [
  { K: 128, G: 128, N: 128 },
  { K: 384, G: 128, N: 128 },
  { K: 512, G: 256, N: 256 },
  { K: 4224, G: 128, N: 128 },
  { K: 14_336, G: 128, N: 128 },
  { K: 384, G: 128, N: 28_672 },
  { K: 384, G: 128, N: 4352 },
  { K: 512, G: 512, N: 128 },
] as const;

export const kit: Kit<LinearSpec, MatrixLinearCase> = {
  name: "awq-prefill-fixed16-matrix",
  formula: "y[t, n] (+)= Σ_b (Σ_{k in b} v[t, k] · (q[k, n] − z[g, n])) · 2^e_b · s[g, n], x ≈ v · 2^e, blocks of 128",
  spec: fc.record({
    shape: fc.nat(2),
    T: axis(5, 1, [16, 64]),
    adds: fc.boolean(),
    x: recipe(undefined, 8),
    weight: awqSpec,
  }),
  boundaries: [
    ...[1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257].map((T) => ({
      shape: 0,
      T,
      adds: T % 2 === 0,
      x: plain,
      weight: usualAwq,
    })),
    ...[1, 2, 3].flatMap((shape) => [false, true].map((adds) => ({ shape, T: 3, adds, x: plain, weight: usualAwq }))),
    // Each of an invocation's sixteen rows sums over several blocks.
    { shape: 1, T: 64, adds: false, x: plain, weight: usualAwq },
    // Block sums as large as they become.
    ...(["ones", "equal"] as const).map((kind) => ({
      shape: 1,
      T: 2,
      adds: false,
      x: { kind, exponent: 0, seed: 351 },
      weight: { ...usualAwq, q: "ends" as const, z: "ends" as const },
    })),
  ],
  // As those of awq-prefill-f16-matrix.
  reach: [
    { shape: 4, T: 128, every: 257 },
    { shape: 5, T: 2, every: 7 },
    { shape: 6, T: 128, every: 37 },
    { shape: 1, T: 700, every: 7 },
    { shape: 7, T: 3 },
  ].map((far) => ({ ...far, adds: true, x: plain, weight: usualAwq })),
  make({ shape, T, adds, x, weight, every }) {
    const { K, G, N } = shapes[shape]!;
    return { T, x: sparse(values(x, T * K), every), weight: awqMatrix(weight, K, N, G), before: adds ? valuesBefore(x, T * N) : null };
  },
  length: (c) => c.T * c.weight.outFeatures,
  expected: ({ T, x, weight, before }) => expectLinear(T, x, weight, before),
  laws: [
    rowAlone,
    {
      name: "is exact on 16-bit integers whose sums f32 holds, and scales of one",
      async check(c, { run }) {
        const { inFeatures: K } = c.weight;
        if (K > 512) return null;
        // Eight of a block are not zero, one of them the largest there is: steps of one, sums below 8 · 32512 · 15 a block.
        const x = c.x.map((_, i) => (i % B === 0 ? 32512 : i % 16 === (i >> 4) % 16 ? ((i * 7919) % 65025) - 32512 : 0));
        const weight = { ...c.weight, scales: c.weight.scales.map(() => 0x3c00) };
        const { value } = expectLinear(c.T, x, weight, null);
        const out = await run({ ...c, x, weight, before: null });
        const i = out.findIndex((y, n) => y !== value[n]);
        return i < 0 ? null : `element ${i}: expected exactly ${value[i]}, got ${out[i]}`;
      },
    },
    {
      name: "gives NaN for a row that holds an infinity or NaN, and for no other",
      async check(c, { run }) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        const x = c.x.map((_, i) => ((i * 29) % 17) - 8);
        const bad = [Infinity, -Infinity, Number.NaN];
        const row = ((c.T * 5) % 7) % c.T;
        x[row * K + ((c.T * 37) % K)] = bad[c.T % 3]!;
        const weight = { ...c.weight, scales: c.weight.scales.map(() => 0x3c00) };
        const out = await run({ ...c, x, weight, before: null });
        const i = out.findIndex((y, n) => Number.isNaN(y) !== (Math.floor(n / N) === row));
        return i < 0 ? null : `element ${i}: ${out[i]}, with ${bad[c.T % 3]} in row ${row}`;
      },
    },
  ],
  refusals: [],
  dotLike: true,
};

const expectLinear = (T: number, x: Float32Array, weight: AwqMatrix, before: Float32Array | null): Expected =>
  expectFixed16(quantizeFixed16(x, T, weight.inFeatures, B), weight, before, wgsl);

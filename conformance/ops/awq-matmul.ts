import * as fc from "fast-check";
import { awqMatmul } from "../../core/ops/awq-matmul.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { expectAwqMatmul, halfNumbers, nibble } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { linearLaws } from "../cases/linear-laws.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly N: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  readonly bias: Recipe | null;
}
export interface AwqMatmulCase {
  readonly T: number;
  /** [T, K] */
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
  readonly bias: Float32Array | null;
}

/** W[k, n] = (q − z) · s, exact in f64. */
const element = ({ outFeatures: N, groupSize: G, qweight, qzeros, scales }: AwqMatrix, k: number, n: number): number => {
  const g = Math.floor(k / G);
  return (nibble(qweight, N, k, n) - nibble(qzeros, N, g, n)) * halfNumbers()[scales[g * N + n]!]!;
};

export const kit: Kit<Spec, AwqMatmulCase> = {
  name: "awq-matmul",
  formula: "out[t, n] = Σ_k x[t, k] · (q[k, n] − z[g, n]) · s[g, n] + bias[n], g = ⌊k / groupSize⌋",
  reference: { arithmetic: "f64", run: (c, out) => awqMatmul(out, c.x, c.weight, c.bias, c.T) },
  spec: fc
    .record({
      T: axis(9, 1, [2, 4, 8]),
      groups: axis(5),
      groupSize: fc.constantFrom(32, 64, 128, 8, 16),
      N: axis(136, 8, [16, 32, 64, 128]),
      x: recipe(),
      weight: awqSpec,
      bias: fc.option(recipe(["ones", "integers", "normal", "mixed"]), { nil: null }),
    })
    .map((s) => ({ ...s, T: s.groups * s.groupSize > 256 ? Math.min(s.T, 3) : s.T })),
  boundaries: [
    ...[8, 16, 24, 56, 64, 72, 120, 128, 136, 256, 520].map((N) => ({ T: 2, groups: 1, groupSize: 32, N })),
    ...[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65].map((T) => ({ T, groups: 2, groupSize: 32, N: 16 })),
    ...[1, 2, 3, 7, 8, 9].flatMap((groups) => [32, 64, 128].map((groupSize) => ({ T: 1, groups, groupSize, N: 24 }))),
    { T: 1, groups: 1, groupSize: 512, N: 8 },
    ...[8, 33].map((groupSize) => ({ T: 3, groups: 3, groupSize, N: 16 })),
    { T: 2, groups: 1, groupSize: 33, N: 8 },
    { T: 3, groups: 32, groupSize: 128, N: 8 },
  ].map((shape, i) => ({ ...shape, x: plain, weight: usualAwq, bias: i % 2 ? { ...plain, seed: 3 } : null })),
  // SOLAR's down_proj has 14,336 inputs in 112 groups, Llama 70B's 28,672; the widest outputs, every row of a tile of wide
  // ones, prompts of more than 512 rows and more than 16 bits of inputs, groups of more than 128.
  reach: [
    { T: 1, groups: 112, groupSize: 128, N: 8 },
    { T: 2, groups: 448, groupSize: 32, N: 16 },
    { T: 1, groups: 224, groupSize: 128, N: 8 },
    { T: 3, groups: 1, groupSize: 32, N: 28_672 },
    { T: 1, groups: 3, groupSize: 32, N: 28_672 },
    { T: 64, groups: 1, groupSize: 32, N: 4224 },
    { T: 700, groups: 1, groupSize: 128, N: 8 },
    { T: 1, groups: 3, groupSize: 256, N: 8 },
    { T: 1, groups: 1, groupSize: 8192, N: 8 },
  ].map((shape) => ({ ...shape, x: plain, weight: usualAwq, bias: shape.T === 64 ? null : { ...plain, seed: 3 } })),
  make({ T, groups, groupSize, N, x, weight, bias }) {
    const K = groups * groupSize;
    return { T, x: values(x, T * K), weight: awqMatrix(weight, K, N, groupSize), bias: bias ? values(bias, N) : null };
  },
  length: (c) => c.T * c.weight.outFeatures,
  expected: (c, arithmetic) => expectAwqMatmul(c.x, c.weight, c.bias, c.T, arithmeticOf(arithmetic), arithmetic === "f32-folded"),
  laws: [
    ...linearLaws<AwqMatmulCase>(() => 2 ** -24),
    {
      // Each K in turn over a few cases: every nibble, zero point, scale and group is read where it should be.
      name: "gives a row of the dequantized weight for a one-hot x",
      async check(c, bench) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        for (const at of [(c.x.length * 7 + N) % K, K - 1, 0]) {
          const x = new Float32Array(c.T * K);
          for (let t = 0; t < c.T; t++) x[t * K + at] = 1;
          const one = { ...c, x, bias: null };
          const out = await bench.run(one);
          const { bound } = bench.expected(one);
          for (let i = 0; i < out.length; i++) {
            const w = element(c.weight, at, i % N);
            if (!(Math.abs(out[i]! - w) <= bound[i]!))
              return `x one-hot at ${at}, element ${i}: expected ${w}, got ${out[i]}, bound ${bound[i]}`;
          }
        }
        return null;
      },
    },
    {
      name: "gives exactly zero where every weight is its zero point",
      async check(c, { run }) {
        const zero = new Int32Array(c.weight.qzeros.length).fill(0x55555555);
        const q = new Int32Array(c.weight.qweight.length).fill(0x55555555);
        // Integers, so that a folded zero point cancels exactly: |Σ x·5| < 2²⁴.
        const x = c.x.map((_, i) => ((i * 37) % 17) - 8);
        const scales = c.weight.scales.map(() => 0x3400);
        const out = await run({ ...c, x, bias: null, weight: { ...c.weight, qweight: q, qzeros: zero, scales } });
        return sameBits(out, new Float32Array(out.length));
      },
    },
    {
      name: "is exact on small integers and scales that are powers of two",
      async check(c, { run }) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        const x = c.x.map((_, i) => ((i * 29) % 17) - 8);
        const weight = { ...c.weight, scales: c.weight.scales.map((_, i) => [0x3c00, 0x3800, 0x4000][i % 3]!) };
        const exact = new Float32Array(c.T * N);
        for (let t = 0; t < c.T; t++)
          for (let n = 0; n < N; n++) {
            let sum = 0;
            for (let k = 0; k < K; k++) sum += x[t * K + k]! * element(weight, k, n);
            exact[t * N + n] = sum;
          }
        return sameBits(await run({ ...c, x, weight, bias: null }), exact);
      },
    },
  ],
  refusals: [
    refuseShort("x", (c) => ({ ...c, x: c.x.subarray(1) })),
    refuseShort("qweight", (c) => ({ ...c, weight: { ...c.weight, qweight: c.weight.qweight.subarray(1) } })),
    refuseShort("qzeros", (c) => ({ ...c, weight: { ...c.weight, qzeros: c.weight.qzeros.subarray(1) } })),
    refuseShort("scales", (c) => ({ ...c, weight: { ...c.weight, scales: c.weight.scales.subarray(1) } })),
    refuseShort("bias", (c) => ({ ...c, bias: new Float32Array(c.weight.outFeatures - 1) })),
    refuseShort("out", (c) => c, true),
  ],
  dotLike: true,
};

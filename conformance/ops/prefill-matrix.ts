/** Kits of the products by subgroup matrices: f16 operands, f32 sums (docs/accuracy.md, subgroup matrices). */
import fc from "fast-check";
import { f16Values } from "../../core/dtype.ts";
import type { AwqMatrix } from "../../core/model/weights.ts";
import {
  addTerm,
  attentionScores,
  clearTerms,
  type Expected,
  expect,
  expectAttention,
  expectF16,
  gamma,
  magnitude,
  makeExpected,
  makeTerms,
  matrixSums,
  nibble,
  sumError,
  unitF16,
  visible,
} from "../accuracy.ts";
import { axis, type DataKind, f16Bits, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit, Law } from "../kit.ts";
import { type AttentionCase, kit as attention } from "./attention.ts";
import { type AwqSpec, awqMatrix, awqSpec } from "./shared.ts";

const plain: Recipe = { kind: "normal", exponent: 0, seed: 1 };
const usual: AwqSpec = { q: "random", z: "random", scales: "usual", seed: 1 };
/** Smallest normal f16; operands below may be read as zero. */
const F16_TINY = 2 ** -14;
/** 65504 / 15, down to a power of two: the largest scale whose weights f16 holds. */
const MOST_SCALE = 0x6c00;

/** A recipe's values as f16 holds them. */
const f16Row = (r: Recipe, length: number): Float32Array =>
  values(r, length).map((x) => f16Values()[f16Bits(Math.max(-65504, Math.min(65504, x)))]!);

// ---------------------------------------------------------------- the linear

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

/** Steps of 64 along K: one, three, four in groups of two, nine, sixty-six (for boundary cases alone), five; two tiles of 128 outputs. */
const shapes = [
  { K: 64, G: 64, N: 128 },
  { K: 192, G: 64, N: 128 },
  { K: 256, G: 128, N: 256 },
  { K: 576, G: 64, N: 128 },
  { K: 4224, G: 64, N: 128 },
  { K: 320, G: 64, N: 128 },
] as const;

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

export const linearKit: Kit<LinearSpec, MatrixLinearCase> = {
  name: "awq-prefill-f16-matrix",
  formula: "y[t, n] (+)= Σ_k x[t, k] · f16(s[g, n] · (q[k, n] − z[g, n])), f32 sums",
  spec: fc.record({ shape: fc.constantFrom(0, 1, 2, 3, 5), T: axis(5, 1, [16, 64]), adds: fc.boolean(), x: recipe(), weight: awqSpec }),
  boundaries: [
    ...[1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257].map((T) => ({ shape: 0, T, adds: T % 2 === 0, x: plain, weight: usual })),
    ...[1, 2, 3, 4, 5].flatMap((shape) => [false, true].map((adds) => ({ shape, T: 3, adds, x: plain, weight: usual }))),
  ],
  make({ shape, T, adds, x, weight }) {
    const { K, G, N } = shapes[shape]!;
    const drawn = awqMatrix(weight, K, N, G);
    return {
      T,
      x: f16Row(x, T * K),
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

/**
 * Each weight is a product rounded to f16, to either neighbour, |error| ≤ one ULP (expectF16); a subnormal scale or activation may be read
 * as zero. Products of two f16 are exact in f32; sums as `matrixSums` has them.
 */
function expectMatrixLinear({ T, x, weight, before }: MatrixLinearCase): Expected {
  const { inFeatures: K, outFeatures: N, groupSize: G, qweight, qzeros, scales } = weight;
  const half = f16Values();
  const e = makeExpected(T * N);
  const terms = makeTerms();
  const w = new Float64Array(K);
  const away = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const g = Math.floor(k / G);
      const s = half[scales[g * N + n]!]!;
      w[k] = s * (nibble(qweight, N, k, n) - nibble(qzeros, N, g, n));
      away[k] = Math.abs(s) < F16_TINY ? Math.abs(w[k]!) : expectF16(w[k]!).bound;
    }
    for (let t = 0; t < T; t++) {
      clearTerms(terms);
      let moved = 0;
      for (let k = 0; k < K; k++) {
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

// ---------------------------------------------------------------- attention

interface AttentionSpec {
  readonly T: number;
  readonly start: number;
  readonly G: number;
  readonly perGroup: number;
  readonly Hd: number;
  readonly window: number | null;
  readonly q: Recipe;
  readonly k: Recipe;
  readonly v: Recipe;
}

const kinds: readonly DataKind[] = ["ones", "integers", "zeros", "equal", "oneHot", "normal", "cancelling", "outliers", "f16Overflow"];
const usualHeads: AttentionSpec = {
  T: 2,
  start: 5,
  G: 2,
  perGroup: 2,
  Hd: 64,
  window: null,
  q: plain,
  k: { ...plain, seed: 2 },
  v: { ...plain, seed: 3 },
};

export const attentionKit: Kit<AttentionSpec, AttentionCase> = {
  name: "attention-prefill-matrix",
  formula: "out[t, h] = Σ_s f16(softmax_s(q[t, h] · k[s, g])) · v[s, g], s ≤ start + t, q scaled beforehand, f32 sums",
  spec: fc.record({
    T: axis(4, 1, [16]),
    start: axis(140, 1, [63, 64, 65, 128]).map((n) => n - 1),
    G: fc.integer({ min: 1, max: 2 }),
    perGroup: fc.integer({ min: 1, max: 3 }),
    Hd: fc.constantFrom(32, 64, 128),
    window: fc.option(fc.integer({ min: 1, max: 150 }), { nil: null, freq: 3 }),
    q: recipe(kinds, 2),
    k: recipe(kinds, 2),
    v: recipe(kinds),
  }),
  boundaries: [
    ...[1, 15, 16, 17, 63, 64, 65, 129].map((T) => ({ ...usualHeads, T })),
    ...[0, 1, 62, 63, 64, 127, 128, 200].map((start) => ({ ...usualHeads, start })),
    { ...usualHeads, start: 0, T: 200 },
    { ...usualHeads, start: 130, T: 64 },
    { ...usualHeads, Hd: 128, start: 130, T: 5 },
    ...[32, 64, 128].flatMap((Hd) => [1, 3].map((perGroup) => ({ ...usualHeads, Hd, perGroup, T: 20 }))),
    ...[1, 2, 63, 64, 65].map((window) => ({ ...usualHeads, T: 70, start: 70, window })),
  ],
  make({ T, start, G, perGroup, Hd, window, q, k, v }) {
    const H = G * perGroup;
    const S = start + T;
    const shape = { H, G, Hd, window };
    return { T, start, shape, scaled: true, q: f16Row(q, T * H * Hd), k: f16Row(k, S * G * Hd), v: f16Row(v, S * G * Hd) };
  },
  length: (c) => c.T * c.shape.H * c.shape.Hd,
  expected: expectMatrixAttention,
  laws: attention.laws.filter(({ name }) => !name.includes("one key")),
  refusals: [],
  dotLike: false,
};

/** To the bound of attention comes the rounding of each weight to f16, which the denominator does not share: Σ_s |δp_s| · |v_s|. */
function expectMatrixAttention(c: AttentionCase): Expected {
  const { H, G, Hd } = c.shape;
  const e = expectAttention(c, matrixSums, c.start + c.T);
  for (let t = 0; t < c.T; t++)
    for (let h = 0; h < H; h++) {
      const { p, errors, low } = attentionScores(c, t, h, matrixSums, c.start + c.T);
      const [first] = visible(c, t);
      const group = Math.floor((h * G) / H);
      for (let j = 0; j < p.length; j++) {
        // No number where a score may be anything; then the bound is infinite already, and a weight is at most 1 but for its roundings.
        const reach = ((p[j]! * Math.exp(errors[j]!)) / low) * (1 + 2 ** -10);
        const rounding = unitF16(reach < 2 ? reach : 1.5);
        for (let i = 0; i < Hd; i++) {
          const v = Math.abs(c.v[((first + j) * G + group) * Hd + i]!);
          e.bound[(t * H + h) * Hd + i]! += (rounding + (v < F16_TINY ? 1 : 0)) * v * (1 + 2 ** -10);
        }
      }
    }
  return e;
}

/**
 * Kits of the decode kernels in `fixed16`: linears whose activations are quantized by block. One row (T = 1) each.
 * Where a kernel leaves digits for the next, these are compared, exactly, with the CPU's quantization of the f32 row it leaves.
 */
import fc from "fast-check";
import type { AwqMatrix, DenseMatrix } from "../../core/model/weights.ts";
import { type RopeTables, ropeTables } from "../../core/ops/rope.ts";
import { dequantizeFixed16, FIXED16_MAX, type Fixed16, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import {
  addTerm,
  denseElement,
  type Expected,
  expectFixed16,
  inverseRms,
  magnitude,
  makeExpected,
  makeTerms,
  rotatePair,
  scaledByRms,
  siluMulOf,
  storedAsF16,
  sumError,
  wgsl,
} from "../accuracy.ts";
import { type DataKind, type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";
import { type AwqSpec, awqMatrix, awqSpec, denseMatrix, refuseShort } from "./shared.ts";

/** Kinds whose squares stay in range: what a residual stream may hold. */
const rowKinds: readonly DataKind[] = ["ones", "integers", "zeros", "equal", "oneHot", "normal", "positive", "cancelling", "outliers"];
const plain: Recipe = { kind: "normal", exponent: 0, seed: 1 };
const ones: Recipe = { kind: "ones", exponent: 0, seed: 1 };
/** 0.99818 everywhere: above 127/128 of a power of two, so that the step of its block is the next larger one. */
const nearlyOne: Recipe = { kind: "equal", exponent: 0, seed: 351 };
const usual: AwqSpec = { q: "random", z: "random", scales: "usual", seed: 1 };
/**
 * Widths in blocks of 32, and blocks a group: one lane's block, a team's turn and one block more, two turns and more. Few, because
 * each is a pipeline of its own: the shape is an override of these kernels.
 */
const shapes = [
  { blocks: 1, groupBlocks: 1 },
  { blocks: 8, groupBlocks: 4 },
  { blocks: 33, groupBlocks: 1 },
  { blocks: 66, groupBlocks: 2 },
] as const;

const quantized = (x: Float32Array): Fixed16 => quantizeFixed16(x, 1, x.length);

// ---------------------------------------------------------------- a linear, quantizing its own activations

interface LinearSpec {
  readonly shape: number;
  readonly N32: number;
  readonly x: Recipe;
  readonly weight: AwqSpec;
  readonly bias: Recipe;
}
export interface Fixed16Case {
  /** [K] */
  readonly x: Float32Array;
  readonly weight: AwqMatrix;
  /** [N]: the bias, or the residual that is added to. */
  readonly bias: Float32Array;
}

const linearSpec = fc.record({
  shape: fc.nat(shapes.length - 1),
  N32: fc.integer({ min: 1, max: 3 }),
  x: recipe(undefined, 8),
  weight: awqSpec,
  bias: recipe(rowKinds),
});
const linearBoundaries = shapes.flatMap((_, shape) =>
  [1, 2, 3].map((N32) => ({ shape, N32, x: plain, weight: usual, bias: { ...plain, seed: 3 } })),
);

function makeLinear({ shape, N32, x, weight, bias }: LinearSpec): Fixed16Case {
  const { blocks, groupBlocks } = shapes[shape]!;
  const K = blocks * 32;
  const N = N32 * 32;
  return { x: values(x, K), weight: awqMatrix(weight, K, N, groupBlocks * 32), bias: values(bias, N) };
}

export const matmulKit: Kit<LinearSpec, Fixed16Case> = {
  name: "awq-matmul-fixed16",
  formula: "out[n] = Σ_b (Σ_{k in b} v[k] · (q[k, n] − z[g, n])) · 2^e_b · s[g, n] + bias[n], x ≈ v · 2^e",
  spec: linearSpec,
  boundaries: linearBoundaries,
  make: makeLinear,
  length: (c) => c.weight.outFeatures,
  // The CPU op joins its blocks in f32, so its bound is that of f32.
  expected: (c) => expectFixed16(quantized(c.x), c.weight, c.bias, wgsl),
  laws: [
    {
      name: "is exact on small integers and scales that are powers of two",
      async check(c, { run }) {
        const [K, N] = [c.x.length, c.weight.outFeatures];
        const x = c.x.map((_, i) => ((i * 29) % 17) - 8);
        const weight = { ...c.weight, scales: c.weight.scales.map((_, i) => [0x3c00, 0x3800, 0x4000][i % 3]!) };
        const none = new Float32Array(N);
        const out = await run({ x, weight, bias: none });
        const { value, bound } = expectFixed16(quantized(x), weight, none, wgsl);
        for (let n = 0; n < N; n++)
          if (K <= 4096 && (bound[n] !== 0 || out[n] !== value[n])) return `element ${n}: expected exactly ${value[n]}, got ${out[n]}`;
        return null;
      },
    },
    {
      name: "gives NaN for an x that holds an infinity or NaN",
      async check(c, { run }) {
        for (const bad of [Infinity, -Infinity, Number.NaN]) {
          const x = c.x.slice();
          x[(c.bias.length * 7) % x.length] = bad;
          const out = await run({ ...c, x, bias: new Float32Array(c.bias.length) });
          const n = out.findIndex((y) => !Number.isNaN(y));
          if (n >= 0) return `element ${n}: ${out[n]} for ${bad}`;
        }
        return null;
      },
    },
    {
      name: "gives twice the result for twice x, bit for bit",
      async check(c, { run }) {
        const x = c.x.map((v) => (Math.abs(v) < 2 ** -60 || Math.abs(v) > 2 ** 60 ? 0 : v));
        const scales = c.weight.scales.map((s) => ((s & 0x7c00) === 0 ? 0x3c00 : s));
        const one = { x, weight: { ...c.weight, scales }, bias: new Float32Array(c.weight.outFeatures) };
        const [once, twice] = [await run(one), await run({ ...one, x: x.map((v) => 2 * v) })];
        // Blocks of tiny values keep the step 2⁻¹⁰² and do not scale.
        if (quantized(x).scales.some((s) => s <= 2 ** -102)) return null;
        for (let n = 0; n < once.length; n++) if (2 * once[n]! !== twice[n]) return `element ${n}: twice ${once[n]} is not ${twice[n]}`;
        return null;
      },
    },
  ],
  refusals: [refuseShort("out", (c) => c, true), refuseShort("bias", (c) => ({ ...c, bias: c.bias.subarray(1) }))],
  dotLike: true,
};

// ---------------------------------------------------------------- what a linear leaves for the next

export interface RowCase extends Fixed16Case {
  /** [N] */
  readonly norm: Float32Array;
}

/** [residual N, residual ∘ norm N, Σ residual² N/32, digits that differ from the CPU's of the second]. */
export const rowLength = (N: number): number => 2 * N + N / 32 + 1;

/** Adds to a residual's expectation what goes with it. */
function rowOf(residual: Expected, norm: Float32Array): Expected {
  const N = norm.length;
  const e = makeExpected(rowLength(N));
  e.value.set(residual.value);
  e.bound.set(residual.bound);
  for (let n = 0; n < N; n++) {
    const [r, er, w] = [residual.value[n]!, residual.bound[n]!, norm[n]!];
    e.value[N + n] = r * w;
    e.bound[N + n] = er * Math.abs(w) * (1 + wgsl.u) + Math.abs(r * w) * wgsl.u + wgsl.eta;
  }
  for (let b = 0; b < N / 32; b++) {
    let [sum, error] = [0, 0];
    for (let n = 32 * b; n < 32 * (b + 1); n++) {
      const [r, er] = [Math.abs(residual.value[n]!), residual.bound[n]!];
      sum += r * r;
      error += (2 * r + er) * er;
    }
    e.value[2 * N + b] = sum;
    e.bound[2 * N + b] = error + (sum + error) * 33 * wgsl.u * (1 + 2 ** -10) + 64 * wgsl.eta;
  }
  return e;
}

export const addKit: Kit<LinearSpec & { readonly norm: Recipe }, RowCase> = {
  name: "awq-add-fixed16",
  formula: "residual += x̂ · W; residual ∘ norm with its digits; Σ residual² a block",
  spec: fc
    .tuple(linearSpec, recipe(rowKinds))
    .map(([linear, norm]) => ({ ...linear, x: { ...linear.x, exponent: linear.x.exponent % 4 }, norm })),
  boundaries: [
    ...linearBoundaries.map((spec) => ({ ...spec, norm: { ...plain, seed: 4 } })),
    { shape: 0, N32: 2, x: { ...plain, kind: "zeros" }, weight: usual, bias: nearlyOne, norm: ones },
  ],
  make: (spec) => ({ ...makeLinear(spec), norm: values(spec.norm, spec.N32 * 32) }),
  length: (c) => rowLength(c.weight.outFeatures),
  expected: (c) => rowOf(expectFixed16(quantized(c.x), c.weight, c.bias, wgsl), c.norm),
  laws: [],
  refusals: [],
  dotLike: false,
};

// ---------------------------------------------------------------- the embedding that starts a row

interface EmbedSpec {
  readonly shape: number;
  readonly id: number;
  readonly table: Recipe;
  readonly norm: Recipe;
}
export interface EmbedCase {
  readonly table: DenseMatrix;
  readonly id: number;
  readonly norm: Float32Array;
}

/** Rows of the embedding, in two pieces of 3 and 2. */
const VOCABULARY = 5;

export const embedKit: Kit<EmbedSpec, EmbedCase> = {
  name: "embed-fixed16",
  formula: "residual = table[id]; the digits of residual ∘ norm; Σ residual² a block",
  spec: fc.record({ shape: fc.nat(shapes.length - 1), id: fc.nat(VOCABULARY - 1), table: recipe(), norm: recipe(rowKinds) }),
  boundaries: [
    ...shapes.flatMap((_, shape) => [0, 2, 3, 4].map((id) => ({ shape, id, table: plain, norm: { ...plain, seed: 4 } }))),
    { shape: 0, id: 1, table: plain, norm: nearlyOne },
  ],
  make({ shape, id, table, norm }) {
    const K = shapes[shape]!.blocks * 32;
    return { table: denseMatrix(table, "F16", VOCABULARY, K), id, norm: values(norm, K) };
  },
  // The kernel does not leave residual ∘ norm itself: its digits stand for it.
  length: (c) => rowLength(c.norm.length),
  expected(c) {
    const K = c.norm.length;
    const residual = makeExpected(K);
    for (let k = 0; k < K; k++) residual.value[k] = denseElement(c.table, c.id, k);
    const e = rowOf(residual, c.norm);
    for (let b = 0; b < K / 32; b++) {
      let most = 0;
      for (let k = 32 * b; k < 32 * (b + 1); k++) most = Math.max(most, Math.abs(e.value[K + k]!) + e.bound[K + k]!);
      // Half a step of the block: the smallest power of two for which the largest |v| is at most 32512, or 2⁻¹⁰².
      for (let k = 32 * b; k < 32 * (b + 1); k++) e.bound[K + k]! += Math.max((2 * most) / FIXED16_MAX, 2 ** -102) / 2;
    }
    return e;
  },
  laws: [
    {
      name: "quantizes as the CPU does, digit for digit, where residual ∘ norm is exact: also at the exponent's floor",
      async check(c, { run }) {
        const K = c.norm.length;
        const table = { ...c.table, data: new Uint16Array(c.table.data.length).fill(0x3c00) };
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
        const table = { ...c.table, data: new Uint16Array(c.table.data.length).fill(0x3c00) };
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

// ---------------------------------------------------------------- norm, then linears

interface NormedSpec {
  readonly shape: number;
  readonly residual: Recipe;
  readonly norm: Recipe;
  readonly weight: AwqSpec;
}
/** A row as `awq-add-fixed16` leaves it. */
interface NormedRow {
  readonly eps: number;
  /** [K] residual ∘ norm */
  readonly scaled: Float32Array;
  /** [K/32] Σ residual² of each block */
  readonly squares: Float32Array;
}
const EPS = Math.fround(1e-5);
const normedSpec = {
  shape: fc.nat(shapes.length - 1),
  residual: recipe([...rowKinds, "tiny"]),
  norm: recipe(["ones", "integers", "normal", "positive"]),
  weight: awqSpec,
};
const normedBoundaries = shapes.map((_, shape) => ({ shape, residual: plain, norm: { ...plain, seed: 2 }, weight: usual }));

function makeRow(residual: Recipe, norm: Recipe, K: number): NormedRow {
  const [r, w] = [values(residual, K), values(norm, K)];
  const squares = new Float32Array(K / 32);
  for (let b = 0; b < K / 32; b++) squares[b] = r.subarray(32 * b, 32 * (b + 1)).reduce((sum, x) => sum + x * x, 0);
  return { eps: EPS, scaled: r.map((x, k) => x * w[k]!), squares };
}

/** x̂ · W / rms of each row of `weight`. */
const normed = (c: NormedRow, weight: AwqMatrix): Expected =>
  scaledByRms(expectFixed16(quantized(c.scaled), weight, null, wgsl), inverseRms(c.squares, c.scaled.length, c.eps, wgsl), wgsl);

export interface GateUpCase extends NormedRow {
  readonly gate: AwqMatrix;
  readonly up: AwqMatrix;
}

export const gateUpKit: Kit<NormedSpec, GateUpCase> = {
  name: "awq-gate-up-fixed16",
  formula: "h = silu(x̂ · Wgate / rms) · (x̂ · Wup / rms)",
  spec: fc.record(normedSpec),
  boundaries: normedBoundaries,
  make(spec) {
    const { blocks, groupBlocks } = shapes[spec.shape]!;
    const [K, F] = [blocks * 32, spec.shape % 2 ? 96 : 32];
    const matrix = (seed: number): AwqMatrix => awqMatrix({ ...spec.weight, seed }, K, F, groupBlocks * 32);
    return { ...makeRow(spec.residual, spec.norm, K), gate: matrix(spec.weight.seed), up: matrix(spec.weight.seed + 7) };
  },
  length: (c) => c.gate.outFeatures,
  expected: (c) => siluMulOf(normed(c, c.gate), normed(c, c.up), wgsl),
  laws: [],
  refusals: [],
  dotLike: false,
};

export interface QkvRopeCase extends NormedRow {
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly position: number;
  readonly tables: RopeTables;
  /** Rows q, k, v. */
  readonly weight: AwqMatrix;
  /** Positions of the caches, more than `position`. */
  readonly S: number;
}

/** [q H·Hd, keys S·G·Hd, values S·G·Hd]: the caches start as zeros. */
export const qkvLength = ({ H, G, Hd, S }: QkvRopeCase): number => H * Hd + 2 * S * G * Hd;

/** Heads of each shape. */
const heads = [
  { G: 1, perGroup: 1, Hd: 32 },
  { G: 2, perGroup: 2, Hd: 64 },
  { G: 1, perGroup: 3, Hd: 96 },
  { G: 2, perGroup: 1, Hd: 128 },
] as const;

export const qkvRopeKit: Kit<NormedSpec & { readonly position: number }, QkvRopeCase> = {
  name: "awq-qkv-rope-fixed16",
  formula: "q, k, v = x̂ · W / rms; q and k turned by RoPE; k and v at `position` of the f16 caches",
  spec: fc.record({ ...normedSpec, position: fc.nat(40) }),
  boundaries: normedBoundaries.flatMap((spec) => [0, 1, 9].map((position) => ({ ...spec, position }))),
  make(spec) {
    const { position } = spec;
    const { blocks, groupBlocks } = shapes[spec.shape]!;
    const { G, perGroup, Hd } = heads[spec.shape]!;
    const [K, H] = [blocks * 32, G * perGroup];
    return {
      ...makeRow(spec.residual, spec.norm, K),
      H,
      G,
      Hd,
      position,
      S: position + 2,
      tables: ropeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: 64 }, position + 2),
      weight: awqMatrix(spec.weight, K, (H + 2 * G) * Hd, groupBlocks * 32),
    };
  },
  length: qkvLength,
  expected(c) {
    const { H, G, Hd, S, position, tables } = c;
    const rows = normed(c, c.weight);
    const e = makeExpected(qkvLength(c));
    const half = Hd / 2;
    for (let head = 0; head < H + 2 * G; head++)
      for (let i = 0; i < half; i++) {
        const at = head * Hd + i;
        const low = [rows.value[at]!, rows.bound[at]!] as const;
        const high = [rows.value[at + half]!, rows.bound[at + half]!] as const;
        const [cos, sin] = [tables.cos[position * half + i]!, tables.sin[position * half + i]!];
        const pair = head < H + G ? rotatePair(low, high, cos, sin, wgsl) : [low, high];
        for (const [j, [value, error]] of pair.entries()) {
          if (head < H) {
            e.value[at + j * half] = value;
            e.bound[at + j * half] = error;
            continue;
          }
          const cache = head < H + G ? 0 : S * G * Hd;
          const slot = H * Hd + cache + (position * G + ((head - H) % G)) * Hd + i + j * half;
          const stored = storedAsF16(value, error);
          e.value[slot] = stored.value;
          e.bound[slot] = stored.bound;
        }
      }
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};

// ---------------------------------------------------------------- norm, then the head

export interface HeadCase extends NormedRow {
  /** [V, K] f16 */
  readonly weight: DenseMatrix;
}

/** Rows of the head for each shape: one, and both sides of a workgroup's 32, in two pieces. */
const headRows = [1, 36, 70, 130] as const;

export const headKit: Kit<Omit<NormedSpec, "weight"> & { readonly weight: Recipe }, HeadCase> = {
  name: "head-f16",
  formula: "logits[v] = Σ_k (residual ∘ norm)[k] · W[v, k] / rms",
  spec: fc.record({
    shape: normedSpec.shape,
    residual: recipe(rowKinds),
    norm: normedSpec.norm,
    weight: recipe(["ones", "integers", "normal", "positive", "cancelling", "outliers"]),
  }),
  boundaries: normedBoundaries.map((spec) => ({ ...spec, weight: { ...plain, seed: 5 } })),
  make({ shape, residual, norm, weight }) {
    const K = shapes[shape]!.blocks * 32;
    return { ...makeRow(residual, norm, K), weight: denseMatrix(weight, "F16", headRows[shape]!, K) };
  },
  length: (c) => c.weight.outFeatures,
  expected(c) {
    const sums = makeExpected(c.weight.outFeatures);
    for (let v = 0; v < sums.value.length; v++) {
      const terms = makeTerms();
      for (let k = 0; k < c.scaled.length; k++) addTerm(terms, c.scaled[k]!, denseElement(c.weight, v, k), wgsl);
      sums.value[v] = terms.sum;
      sums.bound[v] = magnitude(terms) < wgsl.max / 4 ? sumError(terms, wgsl) : Infinity;
    }
    return scaledByRms(sums, inverseRms(c.squares, c.scaled.length, c.eps, wgsl), wgsl);
  },
  laws: [],
  refusals: [],
  dotLike: true,
};

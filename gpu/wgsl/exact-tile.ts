/** What the tiles of `exact` for int4 linears share: shape, bindings, how weights are read, and what is done with a sum. */
import type { ExactAwqShape } from "../kernels/exact/exact-awq.ts";
import { type Digits, digitBytes } from "../kernels/exact/exact-digits.ts";
import { type Card, makeCard, type Sized } from "../pipeline/kernel.ts";
import { exact96, exactIntegers, exactJoin, exactNumbers, exactScale } from "./exact.ts";
import { windowOverrides } from "./exact-join.ts";
import { stepWgsl } from "./step.ts";
import { i8Matrices, i8MatrixNeeds, matrixExtensions } from "./subgroup-matrix.ts";

/** Outputs in parts that lie behind each other, of `rows` rows each: `first` columns, then `rest` at a time. */
export type OutputParts = Readonly<{ first: number; rest: number; rows: number }>;
/** `spread`: of the matrix's scales, or more; `parts`: all outputs side by side where absent. */
export type ExactTileShape = Omit<ExactAwqShape, "tile"> & Readonly<{ spread: number; parts?: OutputParts }>;
export type ExactTileBuffers = "step" | "digits" | "exponents" | "weights" | "groups" | "bases" | "bias" | "out";

/** Sizes of what a tile reaches. */
export function exactTileSizes(shape: ExactTileShape, T: number): Record<Sized<ExactTileBuffers>, number> {
  const { K, N, P, hasBias, groupSize, firstRow, parts } = shape;
  const { digits, exponents } = digitBytes(K, P, T);
  const rows = firstRow + N;
  const bias = hasBias ? 4 * N : 0;
  return {
    digits,
    exponents,
    weights: (rows * K) / 2,
    groups: (4 * rows * K) / groupSize,
    bases: 4 * rows,
    bias,
    out: 4 * (parts?.rows ?? T) * N,
  };
}
export function exactTileOverrides(shape: ExactTileShape): Record<string, number | boolean> {
  const { K, N, P, hasBias, adds, groupSize, unit, firstRow, spread, parts = { first: N, rest: 1, rows: 0 } } = shape;
  const windows = { ...windowOverrides(K, P, spread), FIRST: parts.first, REST: parts.rest, ROWS: parts.rows };
  return { K, N, P, GROUP: groupSize, FIRST_ROW: firstRow, HAS_BIAS: hasBias, ADDS: adds, UNIT: unit, ...windows };
}

/** Four weights less their zero points, each an i8. */
export const exactBytes = /* wgsl */ `fn bytes(w: u32, by: vec2<u32>) -> u32 { return (((w & 0x0f0f0f0fu) ^ by.x) - by.y) ^ 0x80808080u; }`;

/**
 * What the tiles declare: shapes, bindings, and what is done with a sum. P: digits, 3 or 4; outputs in parts: FIRST and REST columns of the first and of each
 * other, ROWS of all; bytes: ± (q − z), each as an i8, by what signed_by makes of a group: z − q = (15 − q) − (15 − z) where the scale is negative.
 */
export const exactTileWgsl: string = /* wgsl */ `${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u;
override P: u32 = 3u;
override GROUP: u32 = 128u;
override FIRST_ROW: u32 = 0u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override UNIT: u32 = 4u;
override FIRST: u32 = N;
override REST: u32 = 1u;
override ROWS: u32 = 0u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> groups: array<u32>;
@group(0) @binding(5) var<storage, read> bases: array<u32>;
@group(0) @binding(6) var<storage, read> bias: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<u32>;
${exactIntegers}${exactNumbers}${exact96}${exactScale}${exactJoin}
fn group_of(row: u32, block: u32) -> u32 { return groups[(row / 4u * GROUPS + 32u * block / GROUP) * 4u + (row & 3u)]; }
fn block_of(row: u32, block: u32) -> vec4<u32> {
  return weights[(row / 4u * BLOCKS + block % UNIT * (BLOCKS / UNIT) + block / UNIT) * 4u + (row & 3u)];
}
fn signed_by(group: u32) -> vec2<u32> {
  let z = (group >> 16u) & 15u; let negative = (group & 0x8000u) != 0u;
  return vec2<u32>(select(0x80808080u, 0x8f8f8f8fu, negative), select(z, 15u - z, negative) * 0x01010101u);
}
${exactBytes}
fn place(t: u32, n: u32) -> u32 { return select(ROWS * FIRST + ((n - FIRST) / REST * ROWS + t) * REST + (n - FIRST) % REST, t * FIRST + n, n < FIRST); }
fn finish(t: u32, n: u32, sum: vec3<u32>) {
  if (t >= step.T || n >= N) { return; }
  let at = place(t, n); var y = rn96(sum, exponents[t] - 24 + i32(bases[FIRST_ROW + n] & 255u));
  if (HAS_BIAS) { y = addf(y, bias[n]); }
  if (ADDS) { y = addf(out[at], y); }
  out[at] = y;
}
`;

/** The same, and what a tile by matrices of i8 begins with. */
export const exactMatrixWgsl: string = /* wgsl */ `${matrixExtensions}
${exactTileWgsl}
${i8Matrices}
`;

/** How a tile by matrices of i8 is cut: P digits; SR × SC subgroups of MF × NF matrices. */
export interface ExactTileCut {
  readonly P: Digits;
  readonly SR: number;
  readonly SC: number;
  readonly MF: number;
  readonly NF: number;
}

/** The record of a tile by matrices of i8: its text, and bytes of workgroup memory. */
export function exactTileCard<Buffers extends string = ExactTileBuffers>(
  name: string,
  { P, SR, SC, MF, NF }: ExactTileCut,
  { wgsl, bytes }: { readonly wgsl: string; readonly bytes: number },
  sizes: Card<Buffers, ExactTileShape>["sizes"],
): Card<Buffers, ExactTileShape> {
  const lanes = 32 * SR * SC;
  return makeCard({
    name,
    ...i8MatrixNeeds,
    limits: { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: lanes, maxComputeWorkgroupSizeX: lanes },
    wgsl,
    workgroupBytes: bytes,
    call: (shape) => ({
      overrides: { ...exactTileOverrides(shape), P },
      workgroups: (T) => [Math.ceil(T / (16 * MF * SR)), Math.ceil(shape.N / (16 * NF * SC)), 1],
    }),
    sizes,
  });
}

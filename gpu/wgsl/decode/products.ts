/**
 * What the linears of one row multiply: four rows of a matrix by a vector, a unit of K at a time. Each product brings
 * the bindings of its vector and its matrix and, as WGSL, UNITS and BLOCKS (of 32 k), load_rows(row, unit), load_x(unit),
 * join(rows, x), their four sums, and bias_of(row), the biases of a quad. The same kernel texts are spliced with each.
 */
import type { FloatDType } from "../../../core/dtype.ts";
import { packedSizes } from "../awq.ts";
import { denseWgsl, dtypeCode, rowWords } from "../dense.ts";
import { blockOf, blocksOf, digitBytes, fixed16FromValues, fixed16Load, fixed16Rows, planeBytes } from "../fixed16.ts";
import { teamOf } from "../teams.ts";

/** int4 rows of K inputs as awq-repack.ts leaves them, `group` inputs a scale; biases behind the groups. */
export type Int4Matrix = Readonly<{ K: number; group: number; hasBias: boolean }>;
/** Rows of K inputs in the checkpoint's dtype; K a multiple of 8. */
export type DenseMatrix = Readonly<{ K: number; dtype: FloatDType; hasBias: boolean }>;

/** X, W: the names of its vector's and its matrix's bindings. */
export interface Product<X extends string, W extends string, M> {
  /** As declared: "storage, read> x: array<f32>". */
  readonly bindings: readonly string[];
  readonly wgsl: string;
  readonly overrides: (matrix: M, rows: number) => Readonly<Record<string, number | boolean>>;
  readonly sizes: (matrix: M, rows: number) => Readonly<Record<X | W, number>>;
  /** Lanes along K, a multiple of 32, at most `most`. */
  readonly team: (matrix: M, most: number) => number;
}

export type Int4Buffers = "weights" | "groups";
export type DenseBuffers = "weights" | "bias";

const common = /* wgsl */ `override K: u32 = 4096u;
override ROWS: u32 = 4096u;
override HAS_BIAS: bool = false;
override BLOCKS: u32 = (K + 31u) / 32u;
`;

/** Of int4 rows; `fixed16Rows` loads them. */
const int4 = /* wgsl */ `${common}override GROUP: u32 = 128u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = (GROUP + 31u) / 32u;
override UNITS: u32 = BLOCKS;
fn bias_of(row: u32) -> vec4<f32> { return bitcast<vec4<f32>>(groups[ROWS / 4u * GROUPS + row / 4u]); }
`;

/** Bytes of a repacked matrix, its biases among them. */
const int4Sizes = ({ K, group, hasBias }: Int4Matrix, rows: number): Record<"weights" | "groups", number> => {
  const { weights, groups } = packedSizes(K, rows, group);
  return { weights, groups: groups + (hasBias ? 4 * rows : 0) };
};

const int4Product = <X extends string>(
  x: X,
  vector: string,
  bytes: (K: number) => number,
  wgsl: string,
): Product<X, Int4Buffers, Int4Matrix> => ({
  bindings: [
    `storage, read> ${x}: array<${vector}>`,
    "storage, read> weights: array<vec4<u32>>",
    "storage, read> groups: array<vec4<u32>>",
  ],
  wgsl: `${int4}${wgsl}`,
  overrides: ({ K, group, hasBias }, rows) => ({ K, GROUP: group, HAS_BIAS: hasBias, ROWS: rows }),
  sizes: (matrix, rows) => ({ [x]: bytes(matrix.K), ...int4Sizes(matrix, rows) }) as Record<X | "weights" | "groups", number>,
  team: ({ K }, most) => teamOf(blocksOf(K), most),
});

/** A vector that lies in digits, with the blocks that the kernel binds, in the arithmetic `fixed16`. */
export const fixed16Digits: Product<"digits", Int4Buffers, Int4Matrix> = int4Product(
  "digits",
  "vec4<u32>",
  digitBytes,
  `${fixed16Rows}${fixed16Load}fn load_x(b: u32) -> Digits { return load_digits(b); }\n`,
);

/** The same of a vector x_in in planes, which each lane quantizes for itself. */
export const fixed16Values: Product<"x_in", Int4Buffers, Int4Matrix> = int4Product(
  "x_in",
  "vec4<f32>",
  planeBytes,
  `${fixed16Rows}${fixed16FromValues}${blockOf("x_in")}fn load_x(b: u32) -> Digits { return digits_of(load_block(b)); }\n`,
);

/**
 * The same in f32, of a vector `x` in planes: a nibble at bit p put into the mantissa of 2^(23 − p) is that and q, less
 * the same of z it is q − z, exact; products and sums in f32, the scale on the block's sum. What stands above the zero
 * point in a word of the groups is 0, which no compiler knows: one logic instruction masks and joins bits, but takes
 * one constant.
 */
const f32Join = /* wgsl */ `
struct Rows { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>, g: vec4<u32> }
fn load_rows(row: u32, b: u32) -> Rows {
  let i = row * BLOCKS + 4u * b;
  return Rows(weights[i], weights[i + 1u], weights[i + 2u], weights[i + 3u], groups[(row >> 2u) * GROUPS + b / BLOCKS_PER_GROUP]);
}
fn load_x(b: u32) -> Block { return load_block(b); }
const MASKS = vec4<u32>(0x0fu, 0x0f00u, 0xf0u, 0xf000u);
const BASES = vec4<u32>(0x4b000000u, 0x47000000u, 0x49000000u, 0x45000000u);
fn eight_terms(w: u32, low: vec4<f32>, high: vec4<f32>, bases: vec4<u32>, zeros: vec4<f32>) -> vec4<f32> {
  let v = w >> 16u;
  let p = bitcast<vec4<f32>>((vec4<u32>(w) & MASKS) | bases) - zeros;
  let q = bitcast<vec4<f32>>((vec4<u32>(v) & MASKS) | bases) - zeros;
  return vec4<f32>(p.xy, q.xy) * low + vec4<f32>(p.zw, q.zw) * high;
}
fn row_sum(w: vec4<u32>, group: u32, hidden: u32, x: Block) -> f32 {
  let bases = BASES | vec4<u32>(hidden);
  let zeros = bitcast<vec4<f32>>(BASES | (vec4<u32>(group >> 16u) << vec4<u32>(0u, 8u, 4u, 12u)));
  let front = eight_terms(w.x, x.a, x.b, bases, zeros) + eight_terms(w.y, x.c, x.d, bases, zeros);
  let back = eight_terms(w.z, x.e, x.f, bases, zeros) + eight_terms(w.w, x.g, x.h, bases, zeros);
  let t = front + back;
  return ((t.x + t.y) + (t.z + t.w)) * unpack2x16float(group).x;
}
fn join(r: Rows, x: Block) -> vec4<f32> {
  let hidden = r.g.x >> 20u;
  return vec4<f32>(row_sum(r.a, r.g.x, hidden, x), row_sum(r.b, r.g.y, hidden, x), row_sum(r.c, r.g.z, hidden, x), row_sum(r.d, r.g.w, hidden, x));
}
`;

export const int4Values = <X extends string>(x: X): Product<X, Int4Buffers, Int4Matrix> =>
  int4Product(x, "vec4<f32>", planeBytes, `${blockOf(x)}${f32Join}`);

/**
 * Of dense rows, widened where they are read (wgsl/dense.ts): eight k of a row at a time, four where they are f32, in one
 * vec4; f32 products and sums.
 */
const denseJoin = (x: string): string => /* wgsl */ `${common}override UNIT: u32 = select(8u, 4u, DTYPE == 0u);
override UNITS: u32 = K / UNIT;
${denseWgsl}
struct Rows { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }
struct Octet { a: vec4<f32>, b: vec4<f32> }
fn load_rows(row: u32, u: u32) -> Rows {
  return Rows(weights[min(row, ROWS - 1u) * UNITS + u], weights[min(row + 1u, ROWS - 1u) * UNITS + u],
              weights[min(row + 2u, ROWS - 1u) * UNITS + u], weights[min(row + 3u, ROWS - 1u) * UNITS + u]);
}
fn load_x(u: u32) -> Octet {
  if (DTYPE == 0u) { return Octet(${x}[(u & 7u) * BLOCKS + (u >> 3u)], vec4<f32>(0.0)); }
  let at = ((2u * u) & 7u) * BLOCKS + (u >> 2u);
  return Octet(${x}[at], ${x}[at + BLOCKS]);
}
fn row_sum(w: vec4<u32>, x: Octet) -> f32 {
  if (DTYPE == 0u) { return dot(bitcast<vec4<f32>>(w), x.a); }
  return dot(vec4<f32>(widen(w.x), widen(w.y)), x.a) + dot(vec4<f32>(widen(w.z), widen(w.w)), x.b);
}
fn join(r: Rows, x: Octet) -> vec4<f32> {
  return vec4<f32>(row_sum(r.a, x), row_sum(r.b, x), row_sum(r.c, x), row_sum(r.d, x));
}
fn bias_of(row: u32) -> vec4<f32> { return bias[row / 4u]; }
`;

/** Lanes along K of a dense matrix: a lane's unit is a quarter of an int4 one, so few lanes are at work as long. */
const DENSE_LANES = 64;

/** `weights` [rows, K], `bias` [rows] f32 in whole quads. */
export const denseValues = <X extends string>(x: X): Product<X, DenseBuffers, DenseMatrix> => ({
  bindings: [`storage, read> ${x}: array<vec4<f32>>`, "storage, read> weights: array<vec4<u32>>", "storage, read> bias: array<vec4<f32>>"],
  wgsl: denseJoin(x),
  overrides: ({ K, dtype, hasBias }, rows) => ({ K, DTYPE: dtypeCode[dtype], HAS_BIAS: hasBias, ROWS: rows }),
  sizes: ({ K, dtype, hasBias }, rows) =>
    ({ [x]: planeBytes(K), weights: 4 * rows * rowWords(dtype, K), bias: hasBias ? 16 * Math.ceil(rows / 4) : 0 }) as Record<
      X | "weights" | "bias",
      number
    >,
  team: ({ K, dtype }, most) => teamOf(K / (dtype === "F32" ? 4 : 8), Math.min(most, DENSE_LANES)),
});

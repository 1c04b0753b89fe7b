/**
 * Products of many rows by subgroup matrices: the text that awq-prefill-f16-matrix, awq-rows64-f16-matrix and their like
 * share. y[t, n] (+)= Σ_k x[t, k] · W[n, k], operands f16, sums f32. x [T, K] f16 in eights (eights.ts). A workgroup of
 * SR × SC subgroups makes a tile of 16·MF·SR rows × 16·NF·SC columns, a subgroup MF × NF matrices of it; K goes by 64
 * through workgroup memory, rows 9 words of 16 bytes apart, the next steps' loads in flight during this one's products (a
 * branch guards those of the last step: clamped ones were 5 to 10 % slower). Part p of PIECES
 * of K goes APART rows behind the one before it, the first to row FIRST: 0, or APART where the pieces are to be added to
 * what y holds. ADD: y's tile is the start of the sum (one piece). y has WIDTH columns, of which the product makes N from
 * COLUMN on. N is a multiple of what a subgroup makes; x has room for
 * T rounded up to whole tiles, and rows after T come out of whatever it holds there.
 */
import type { FloatDType } from "../../core/dtype.ts";
import { f16Matrix, type Needs } from "../device/capabilities.ts";
import { type Call, type Card, makeCard } from "../pipeline/kernel.ts";
import { packedSizes } from "./awq.ts";
import { denseWgsl, dtypeCode, rowWords } from "./dense.ts";
import { eightsWgsl, eightWeightsWgsl } from "./eights.ts";
import { each, range } from "./repeat.ts";

/** SR, SC subgroups; MF, NF matrices of one. */
export type MatrixTile = Readonly<{ SR: number; SC: number; MF: number; NF: number }>;

/** How many steps ahead weights are loaded: 2 where they come from memory in few registers. */
export type Ahead = 1 | 2;

/** 128 × 128: the tile for any number of rows. Eight subgroups of 64 × 32: two on each scheduler, one at work while the other waits. */
export const wideTile: MatrixTile = { SR: 2, SC: 4, MF: 4, NF: 2 };
/** 64 × 256, alike, and 32 × 128. */
export const tileOf64: MatrixTile = { SR: 1, SC: 8, MF: 4, NF: 2 };
export const tileOf32: MatrixTile = { SR: 1, SC: 4, MF: 2, NF: 2 };

export const tileRows = ({ SR, MF }: MatrixTile): number => 16 * MF * SR;
export const tileColumns = ({ SC, NF }: MatrixTile): number => 16 * NF * SC;
export const matrixTileBytes = (tile: MatrixTile): number => 144 * (tileRows(tile) + tileColumns(tile));

/** What a device must have for a tile. */
export const matrixTileNeeds = (tile: MatrixTile): Needs => ({
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [f16Matrix],
  ...(matrixTileBytes(tile) > 16384 ? { limits: { maxComputeWorkgroupStorageSize: matrixTileBytes(tile) } } : {}),
});

/** How weights come: bindings behind that of x, what a thread loads of one row in a step, and how it stages that. */
export interface MatrixWeights {
  readonly bindings: readonly string[];
  readonly overrides: string;
  /** Loads of a row that a step of 64 takes. */
  readonly loads: number;
  /** struct Loaded; load_weights(n, part, k) -> Loaded; put(at, w: Loaded, thousand): from `at` on in `right`. */
  readonly wgsl: string;
}

/** int4, repacked (awq-repack.ts): a load is a block of 32 of a row. */
export const int4Weights: MatrixWeights = {
  bindings: ["var<storage, read> weights: array<vec4<u32>>;", "var<storage, read> groups: array<u32>;"],
  overrides: `override GROUP: u32 = 128u;
override GROUPS: u32 = K / GROUP;`,
  loads: 2,
  wgsl: `${eightWeightsWgsl}
struct Loaded { w: vec4<u32>, group: u32 }
fn load_weights(n: u32, part: u32, k: u32) -> Loaded {
  let block = 2u * k + part;
  return Loaded(weights[((n >> 2u) * (K / 32u) + block) * 4u + (n & 3u)], groups[((n >> 2u) * GROUPS + 32u * block / GROUP) * 4u + (n & 3u)]);
}
fn put(row: u32, part: u32, loaded: Loaded, thousand: u32) {
  let at = 9u * row + 4u * part;
  right[at] = eight_weights(loaded.w.x, loaded.group, thousand); right[at + 1u] = eight_weights(loaded.w.y, loaded.group, thousand);
  right[at + 2u] = eight_weights(loaded.w.z, loaded.group, thousand); right[at + 3u] = eight_weights(loaded.w.w, loaded.group, thousand);
}`,
};

/** Dense rows in the checkpoint's dtype (dense.ts): a load is eight of a row, brought into the order of eights. */
export const denseWeights: MatrixWeights = {
  bindings: ["var<storage, read> weight: array<vec4<u32>>;"],
  overrides: "",
  loads: 8,
  wgsl: `${denseWgsl}
${eightsWgsl}
struct Loaded { low: vec4<u32>, high: vec4<u32> }
fn load_weights(n: u32, part: u32, k: u32) -> Loaded {
  let at = n * (K / 8u) + 8u * k + part;
  if (DTYPE == 0u) { return Loaded(weight[2u * at], weight[2u * at + 1u]); }
  return Loaded(weight[at], vec4<u32>(0u));
}
fn put(row: u32, part: u32, loaded: Loaded, thousand: u32) {
  let w = loaded.low;
  if (DTYPE == 1u) {
    let even = vec2<u32>((w.x & 0xffffu) | (w.y << 16u), (w.z & 0xffffu) | (w.w << 16u));
    right[9u * row + part] = vec4<u32>(even, (w.x >> 16u) | (w.y & 0xffff0000u), (w.z >> 16u) | (w.w & 0xffff0000u));
  } else if (DTYPE == 2u) {
    right[9u * row + part] = eight(vec4<f32>(widen(w.x), widen(w.y)), vec4<f32>(widen(w.z), widen(w.w)));
  } else {
    right[9u * row + part] = eight(bitcast<vec4<f32>>(w), bitcast<vec4<f32>>(loaded.high));
  }
}`,
};

/** What becomes of a tile: bindings behind those of the weights, which row of these its column c is, how it begins and ends. */
export interface MatrixEnd {
  readonly bindings: readonly string[];
  readonly overrides: string;
  readonly wgsl: string;
  readonly row: (c: string) => string;
  readonly start: (tile: MatrixTile) => string;
  readonly end: (tile: MatrixTile) => string;
}

export const sumsOf = ({ MF, NF }: MatrixTile, line: (i: number, j: number) => string): string =>
  range(MF)
    .map((i) => each(NF, (j) => line(i, j)))
    .join("\n    ");

/** Its columns of y. */
const storedEnd: MatrixEnd = {
  bindings: ["var<storage, read_write> y: array<f32>;"],
  overrides: "",
  wgsl: "",
  row: (c) => c,
  start: (tile) => `if (ADD && inside) {
    ${sumsOf(tile, (i, j) => `c${i}${j} = subgroupMatrixLoad<Sum, row_major>(&y, at + ${16 * i}u * WIDTH + ${16 * j}u, WIDTH);`)}
  }`,
  end: (tile) => `if (inside) {
    ${sumsOf(tile, (i, j) => `subgroupMatrixStore<row_major>(&y, at + ${16 * i}u * WIDTH + ${16 * j}u, c${i}${j}, WIDTH);`)}
  }`,
};

export function matrixTileWgsl(tile: MatrixTile, weights: MatrixWeights, ahead: Ahead, ends: MatrixEnd = storedEnd): string {
  const { overrides, loads, wgsl } = weights;
  const bindings = [...weights.bindings, ...ends.bindings].map((line, i) => `@group(0) @binding(${i + 1}) ${line}`).join("\n");
  const { SR, SC, MF, NF } = tile;
  const lanes = 32 * SR * SC;
  const [rows, columns] = [tileRows(tile), tileColumns(tile)];
  const [left, right] = [(8 * rows) / lanes, (loads * columns) / lanes];
  const row = (i: number, of: number): string => `(tid + ${i * lanes}u) / ${of}u`;
  const loadLeft = (k: string): string => each(left, (i) => `x${i} = x[(row0 + ${row(i, 8)}) * (K / 8u) + 8u * ${k} + tid % 8u];`);
  /** What step k needs lies in set k % ahead of registers. */
  const loadRight = (k: string, set: number): string =>
    each(right, (i) => `w${set}${i} = load_weights(${ends.row(`min(column0 + ${row(i, loads)}, N - 1u)`)}, tid % ${loads}u, ${k});`);
  /** Step k + set of K: what was loaded for it to workgroup memory, then the loads of later ones, then its products. */
  const step = (set: number): string => `${set > 0 ? `if (k + ${set}u >= end) { break; }` : ""}
    workgroupBarrier();
    ${each(left, (i) => `left[${row(i, 8)} * 9u + tid % 8u] = x${i};`)}
    ${each(right, (i) => `put(${row(i, loads)}, tid % ${loads}u, w${set}${i}, thousand);`)}
    workgroupBarrier();
    if (k + ${set + 1}u < end) {
      ${loadLeft(`(k + ${set + 1}u)`)}${ahead === 1 ? `\n      ${loadRight("(k + 1u)", 0)}` : ""}
    }
    ${ahead === 1 ? "" : `if (k + ${set + ahead}u < end) { ${loadRight(`(k + ${set + ahead}u)`, set)} }`}
    for (var s = 0u; s < 4u; s++) {
      let l = a0 * 9u + 2u * s;
      let r = b0 * 9u + 2u * s;
      ${each(MF, (i) => `let p${i} = subgroupMatrixLoad<Left, row_major>(&left, l + ${144 * i}u, 9u);`)}
      ${range(NF)
        .map(
          (j) => `let q${j} = subgroupMatrixLoad<Right, col_major>(&right, r + ${144 * j}u, 9u);
      ${each(MF, (i) => `c${i}${j} = subgroupMatrixMultiplyAccumulate(p${i}, q${j}, c${i}${j});`)}`,
        )
        .join("\n      ")}
    }`;
  return /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

override K: u32 = 4096u;
override N: u32 = 4096u;
override ADD: bool = false;
override PIECES: u32 = 1u;
override APART: u32 = 0u;
override FIRST: u32 = 0u;
override WIDTH: u32 = N;
override COLUMN: u32 = 0u;
override EACH: u32 = (K / 64u + PIECES - 1u) / PIECES; // steps of a piece
${overrides}${ends.overrides}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
${bindings}
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;
var<workgroup> left: array<vec4<u32>, ${9 * rows}>;
var<workgroup> right: array<vec4<u32>, ${9 * columns}>;

${wgsl}${ends.wgsl}
@compute @workgroup_size(${lanes})
fn main(@builtin(num_workgroups) size: vec3<u32>, @builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32,
        @builtin(subgroup_id) sg: u32) {
  let thousand = 0x64006400u + (size.z - 1u);
  let piece = wg.x % PIECES;
  let row0 = wg.x / PIECES * ${rows}u;
  let column0 = wg.y * ${columns}u;
  let a0 = (sg % ${SR}u) * ${16 * MF}u;
  let b0 = (sg / ${SR}u) * ${16 * NF}u;
  let inside = column0 + b0 < N;
  let at = (FIRST + piece * APART + row0 + a0) * WIDTH + COLUMN + column0 + b0;
  ${sumsOf(tile, (i, j) => `var c${i}${j} = Sum(0.0);`)}
  ${ends.start(tile)}
  let end = min((piece + 1u) * EACH, K / 64u);
  var k = piece * EACH;
  var ${range(left)
    .map((i) => `x${i} = vec4<u32>(0u);`)
    .join(" var ")} var ${range(ahead)
    .flatMap((set) => range(right).map((i) => `w${set}${i}: Loaded;`))
    .join(" var ")}
  ${loadLeft("min(k, K / 64u - 1u)")}
  ${each(ahead, (set) => loadRight(`min(k + ${set}u, K / 64u - 1u)`, set))}
  for (; k < end; k += ${ahead}u) {
    ${range(ahead).map(step).join("\n    ")}
  }
  ${ends.end(tile)}
}
`;
}

/** K inputs, N outputs, `group` weights a scale; `add`: the products are added to what y holds. */
export type ProductShape = Readonly<{ K: number; N: number; group: number; add: boolean }>;

/**
 * In how many pieces y is left, and how many rows apart: with `add` those to be added to y, behind its rows, none by
 * default; without it one or more.
 */
export type PiecesShape = ProductShape & Readonly<{ pieces?: number; apart?: number }>;

/** Rows of y that a product in pieces reaches. */
export const piecesRows = ({ add, pieces = 0, apart = 0 }: Pick<PiecesShape, "add" | "pieces" | "apart">): number =>
  apart * (pieces + (add ? 1 : 0));

/** Overrides of a product in pieces. */
export const piecesOverrides = ({
  add,
  pieces = 0,
  apart = 0,
}: Pick<PiecesShape, "add" | "pieces" | "apart">): Record<string, number | boolean> => ({
  ADD: add && pieces === 0,
  PIECES: Math.max(1, pieces),
  APART: apart,
  FIRST: add && pieces > 0 ? apart : 0,
});

/** What every tile is called with. */
const callOf =
  (tile: MatrixTile) =>
  (shape: Omit<PiecesShape, "group">, overrides: Readonly<Record<string, number>>): Call => {
    const { K, N, pieces = 0 } = shape;
    return {
      overrides: { K, N, ...piecesOverrides(shape), ...overrides },
      workgroups: (T) => [Math.ceil(T / tileRows(tile)) * Math.max(1, pieces), Math.ceil(N / tileColumns(tile)), 1],
    };
  };

export const paddedRows = (tile: MatrixTile, T: number): number => tileRows(tile) * Math.ceil(T / tileRows(tile));

/** The card of a tile of int4 weights. */
export const int4MatrixTile = (name: string, tile: MatrixTile, ahead: Ahead = 1): Card<"x" | "weights" | "groups" | "y", PiecesShape> =>
  makeCard({
    name,
    ...matrixTileNeeds(tile),
    wgsl: matrixTileWgsl(tile, int4Weights, ahead),
    workgroupBytes: matrixTileBytes(tile),
    call: (shape) => callOf(tile)(shape, { GROUP: shape.group }),
    sizes(shape, T) {
      const { K, N, group } = shape;
      const rows = paddedRows(tile, T);
      return { x: 2 * rows * K, ...packedSizes(K, N, group), y: 4 * Math.max(rows, piecesRows(shape)) * N };
    },
  });

/** A dense matrix in rows of its dtype, and where its product lies in y of `width` columns. */
export type DenseProductShape = Omit<PiecesShape, "group"> & Readonly<{ dtype: FloatDType; width: number; column: number }>;

/** The card of a tile of dense weights. */
export const denseMatrixTile = (name: string, tile: MatrixTile): Card<"x" | "weight" | "y", DenseProductShape> =>
  makeCard({
    name,
    ...matrixTileNeeds(tile),
    wgsl: matrixTileWgsl(tile, denseWeights, 1),
    workgroupBytes: matrixTileBytes(tile),
    call: (shape) => callOf(tile)(shape, { DTYPE: dtypeCode[shape.dtype], WIDTH: shape.width, COLUMN: shape.column }),
    sizes(shape, T) {
      const { K, N, dtype, width } = shape;
      const rows = paddedRows(tile, T);
      return { x: 2 * rows * K, weight: 4 * N * rowWords(dtype, K), y: 4 * Math.max(rows, piecesRows(shape)) * width };
    },
  });

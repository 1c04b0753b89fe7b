/**
 * Products of many rows by subgroup matrices: the text that awq-prefill-f16-matrix, awq-rows64-f16-matrix and their like
 * share. y[t, n] (+)= Σ_k x[t, k] · W[n, k], operands f16, sums f32. x [T, K] f16 in eights (eights.ts). A workgroup of
 * SR × SC subgroups makes a tile of 16·MF·SR rows × 16·NF·SC columns, a subgroup MF × NF matrices of it; K goes by 64
 * or 32 through workgroup memory, rows an odd number of words of 16 bytes apart, the next steps' loads in flight during this one's products (a
 * branch guards those of the last step: clamped ones were 5 to 10 % slower); by 32 x lies in panels. Part p of PIECES
 * of K goes APART rows behind the one before it, the first to row FIRST: 0, or APART where the pieces are to be added to
 * what y holds. ADD: y's tile is the start of the sum (one piece). y has WIDTH columns, of which the product makes N from
 * COLUMN on. N is a multiple of what a subgroup makes; x has room for
 * T rounded up to whole tiles, and rows after T come out of whatever it holds there.
 */
import type { FloatDType } from "../../core/dtype.ts";
import type { Needs } from "../device/capabilities.ts";
import { type Call, type Card, makeCard } from "../pipeline/kernel.ts";
import { packedSizes } from "./awq.ts";
import { denseWgsl, dtypeCode, rowWords } from "./dense.ts";
import { eightsWgsl, eightWeightsWgsl } from "./eights.ts";
import { each, range } from "./repeat.ts";
import { f16Matrices, f16MatrixNeeds, matrixExtensions } from "./subgroup-matrix.ts";

/** SR, SC subgroups; MF, NF matrices of one; K by `depth`: by 64 x lies in rows, by 32 in panels of 128 rows (eights.ts). */
export type MatrixTile = Readonly<{ SR: number; SC: number; MF: number; NF: number; depth: 32 | 64 }>;

/** 128 × 128 of x in panels, by four subgroups of 64 × 64: two workgroups at once, of which one stages while the other multiplies. */
export const panelTile: MatrixTile = { SR: 2, SC: 2, MF: 4, NF: 4, depth: 32 };

/** How many steps ahead x and weights are loaded: 2 where they come from memory in few registers. */
export type AheadOf = Readonly<{ x: 1 | 2; w: 1 | 2 }>;
const nextStep: AheadOf = { x: 1, w: 1 };

/** 128 × 128: the tile for any number of rows. Eight subgroups of 64 × 32: two on each scheduler, one at work while the other waits. */
export const wideTile: MatrixTile = { SR: 2, SC: 4, MF: 4, NF: 2, depth: 64 };
/** 64 × 256, alike, and 32 × 128. */
export const tileOf64: MatrixTile = { SR: 1, SC: 8, MF: 4, NF: 2, depth: 64 };
export const tileOf32: MatrixTile = { SR: 1, SC: 4, MF: 2, NF: 2, depth: 64 };

export const tileRows = ({ SR, MF }: MatrixTile): number => 16 * MF * SR;
export const tileColumns = ({ SC, NF }: MatrixTile): number => 16 * NF * SC;
/** Words of 16 bytes from a row in workgroup memory to the next. */
export const tileStride = ({ depth }: MatrixTile): number => depth / 8 + 1;
export const matrixTileBytes = (tile: MatrixTile): number => 16 * tileStride(tile) * (tileRows(tile) + tileColumns(tile));

/** What a device must have for a tile. */
export const matrixTileNeeds = (tile: MatrixTile): Needs => ({
  ...f16MatrixNeeds,
  ...(matrixTileBytes(tile) > 16384 ? { limits: { maxComputeWorkgroupStorageSize: matrixTileBytes(tile) } } : {}),
});

/** Rows in the order in which lanes bring them by 32. */
const apartWgsl = "fn apart(row: u32) -> u32 { return (row & 0xfffffff8u) | ((row & 1u) << 2u) | ((row >> 1u) & 3u); }";

/** How weights come: bindings behind that of x, what a thread loads of one row in a step, and how it stages that. */
export interface MatrixWeights {
  readonly bindings: readonly string[];
  readonly overrides: string;
  /** Loads of a row that a step takes. */
  readonly loads: (tile: MatrixTile) => number;
  /** struct Loaded; load_weights(n, part, k) -> Loaded; put(row, part, w: Loaded, thousand): into `right`. */
  readonly wgsl: (tile: MatrixTile) => string;
}

/** int4, repacked (awq-repack.ts): a load is a block of 32 of a row. */
export const int4Weights: MatrixWeights = {
  bindings: ["var<storage, read> weights: array<vec4<u32>>;", "var<storage, read> groups: array<u32>;"],
  overrides: `override GROUP: u32 = 128u;
override GROUPS: u32 = K / GROUP;`,
  loads: ({ depth }) => depth / 32,
  wgsl: (tile) => `${eightWeightsWgsl}
struct Loaded { w: vec4<u32>, group: u32 }
fn load_weights(n: u32, part: u32, k: u32) -> Loaded {
  let block = ${tile.depth / 32}u * k + part;
  return Loaded(weights[((n >> 2u) * (K / 32u) + block) * 4u + (n & 3u)], groups[((n >> 2u) * GROUPS + 32u * block / GROUP) * 4u + (n & 3u)]);
}
fn put(row: u32, part: u32, loaded: Loaded, thousand: u32) {
  let at = ${tileStride(tile)}u * row + 4u * part;
  right[at] = eight_weights(loaded.w.x, loaded.group, thousand); right[at + 1u] = eight_weights(loaded.w.y, loaded.group, thousand);
  right[at + 2u] = eight_weights(loaded.w.z, loaded.group, thousand); right[at + 3u] = eight_weights(loaded.w.w, loaded.group, thousand);
}`,
};

/** Dense rows in the checkpoint's dtype (dense.ts): a load is eight of a row, brought into the order of eights. */
export const denseWeights: MatrixWeights = {
  bindings: ["var<storage, read> weight: array<vec4<u32>>;"],
  overrides: "",
  loads: ({ depth }) => depth / 8,
  wgsl: (tile) => `${denseWgsl}
${eightsWgsl}
struct Loaded { low: vec4<u32>, high: vec4<u32> }
fn load_weights(n: u32, part: u32, k: u32) -> Loaded {
  let at = n * (K / 8u) + ${tile.depth / 8}u * k + part;
  if (DTYPE == 0u) { return Loaded(weight[2u * at], weight[2u * at + 1u]); }
  return Loaded(weight[at], vec4<u32>(0u));
}
fn put(row: u32, part: u32, loaded: Loaded, thousand: u32) {
  let w = loaded.low;
  if (DTYPE == 1u) {
    let even = vec2<u32>((w.x & 0xffffu) | (w.y << 16u), (w.z & 0xffffu) | (w.w << 16u));
    right[${tileStride(tile)}u * row + part] = vec4<u32>(even, (w.x >> 16u) | (w.y & 0xffff0000u), (w.z >> 16u) | (w.w & 0xffff0000u));
  } else if (DTYPE == 2u) {
    right[${tileStride(tile)}u * row + part] = eight(vec4<f32>(widen(w.x), widen(w.y)), vec4<f32>(widen(w.z), widen(w.w)));
  } else {
    right[${tileStride(tile)}u * row + part] = eight(bitcast<vec4<f32>>(w), bitcast<vec4<f32>>(loaded.high));
  }
}`,
};

/** What becomes of a tile: bindings behind those of the weights, which row of these its column c is, how it begins and ends. */
export interface MatrixEnd {
  readonly bindings: readonly string[];
  readonly overrides: string;
  readonly wgsl: (tile: MatrixTile) => string;
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
  wgsl: () => "",
  row: (c) => c,
  start: (tile) => `if (ADD && inside) {
    ${sumsOf(tile, (i, j) => `c${i}${j} = subgroupMatrixLoad<Sum, row_major>(&y, at + ${16 * i}u * WIDTH + ${16 * j}u, WIDTH);`)}
  }`,
  end: (tile) => `if (inside) {
    ${sumsOf(tile, (i, j) => `subgroupMatrixStore<row_major>(&y, at + ${16 * i}u * WIDTH + ${16 * j}u, c${i}${j}, WIDTH);`)}
  }`,
};

export function matrixTileWgsl(tile: MatrixTile, weights: MatrixWeights, ahead: AheadOf, ends: MatrixEnd = storedEnd): string {
  const { overrides, wgsl } = weights;
  const loads = weights.loads(tile);
  const bindings = [...weights.bindings, ...ends.bindings].map((line, i) => `@group(0) @binding(${i + 1}) ${line}`).join("\n");
  const { SR, SC, MF, NF, depth } = tile;
  const lanes = 32 * SR * SC;
  const [rows, columns] = [tileRows(tile), tileColumns(tile)];
  const [words, stride, steps] = [depth / 8, tileStride(tile), `K / ${depth}u`];
  const [left, right] = [(words * rows) / lanes, (loads * columns) / lanes];
  // By 32, the rows of which eight neighbouring lanes bring four words each are four apart: eight different banks.
  const row = (i: number, of: number): string => (of === 4 ? `apart(tid / 4u + ${(i * lanes) / 4}u)` : `(tid + ${i * lanes}u) / ${of}u`);
  /** Where what lane tid brings of x for a step lies: in rows, or in panels, of which a step is one. */
  const wordOf = (i: number, k: string): string =>
    depth === 32
      ? `row0 * (K / 8u) + (128u * ${k} + ${row(i, words)}) * 4u + tid % 4u`
      : `(row0 + ${row(i, words)}) * (K / 8u) + 8u * ${k} + tid % 8u`;
  /** What step k needs lies in set k % ahead of registers. */
  const loadLeft = (k: string, set: number): string => each(left, (i) => `x${set}${i} = x[${wordOf(i, k)}];`);
  const loadRight = (k: string, set: number): string =>
    each(right, (i) => `w${set}${i} = load_weights(${ends.row(`min(column0 + ${row(i, loads)}, N - 1u)`)}, tid % ${loads}u, ${k});`);
  /** Step k + at of K: what was loaded for it to workgroup memory, then the loads of later ones, then its products. */
  const step = (at: number): string => {
    const [ofX, ofW] = [at % ahead.x, at % ahead.w];
    const later =
      ahead.x === ahead.w
        ? `if (k + ${at + ahead.x}u < end) { ${loadLeft(`(k + ${at + ahead.x}u)`, ofX)}
      ${loadRight(`(k + ${at + ahead.w}u)`, ofW)} }`
        : `if (k + ${at + ahead.x}u < end) { ${loadLeft(`(k + ${at + ahead.x}u)`, ofX)} }
    if (k + ${at + ahead.w}u < end) { ${loadRight(`(k + ${at + ahead.w}u)`, ofW)} }`;
    return `${at > 0 ? `if (k + ${at}u >= end) { break; }` : ""}
    workgroupBarrier();
    ${each(left, (i) => `left[${row(i, words)} * ${stride}u + tid % ${words}u] = x${ofX}${i};`)}
    ${each(right, (i) => `put(${row(i, loads)}, tid % ${loads}u, w${ofW}${i}, thousand);`)}
    workgroupBarrier();
    ${later}
    for (var s = 0u; s < ${depth / 16}u; s++) {
      let l = a0 * ${stride}u + 2u * s;
      let r = b0 * ${stride}u + 2u * s;
      ${each(MF, (i) => `let p${i} = subgroupMatrixLoad<Left, row_major>(&left, l + ${16 * stride * i}u, ${stride}u);`)}
      ${range(NF)
        .map(
          (j) => `let q${j} = subgroupMatrixLoad<Right, col_major>(&right, r + ${16 * stride * j}u, ${stride}u);
      ${each(MF, (i) => `c${i}${j} = subgroupMatrixMultiplyAccumulate(p${i}, q${j}, c${i}${j});`)}`,
        )
        .join("\n      ")}
    }`;
  };
  const turn = Math.max(ahead.x, ahead.w);
  return /* wgsl */ `
enable f16;
${matrixExtensions}

override K: u32 = 4096u;
override N: u32 = 4096u;
override ADD: bool = false;
override PIECES: u32 = 1u;
override APART: u32 = 0u;
override FIRST: u32 = 0u;
override WIDTH: u32 = N;
override COLUMN: u32 = 0u;
override EACH: u32 = (${steps} + PIECES - 1u) / PIECES; // steps of a piece
${overrides}${ends.overrides}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
${bindings}
${f16Matrices}
var<workgroup> left: array<vec4<u32>, ${stride * rows}>;
var<workgroup> right: array<vec4<u32>, ${stride * columns}>;

${wgsl(tile)}${ends.wgsl(tile)}${depth === 32 ? `\n${apartWgsl}` : ""}
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
  let end = min((piece + 1u) * EACH, ${steps});
  var k = piece * EACH;
  ${range(ahead.x)
    .flatMap((set) => range(left).map((i) => `var x${set}${i} = vec4<u32>(0u);`))
    .join(" ")} ${range(ahead.w)
    .flatMap((set) => range(right).map((i) => `var w${set}${i}: Loaded;`))
    .join(" ")}
  ${each(ahead.x, (set) => loadLeft(`min(k + ${set}u, ${steps} - 1u)`, set))}
  ${each(ahead.w, (set) => loadRight(`min(k + ${set}u, ${steps} - 1u)`, set))}
  for (; k < end; k += ${turn}u) {
    ${range(turn).map(step).join("\n    ")}
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
export const int4MatrixTile = (
  name: string,
  tile: MatrixTile,
  ahead: AheadOf = nextStep,
): Card<"x" | "weights" | "groups" | "y", PiecesShape> =>
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
    wgsl: matrixTileWgsl(tile, denseWeights, nextStep),
    workgroupBytes: matrixTileBytes(tile),
    call: (shape) => callOf(tile)(shape, { DTYPE: dtypeCode[shape.dtype], WIDTH: shape.width, COLUMN: shape.column }),
    sizes(shape, T) {
      const { K, N, dtype, width } = shape;
      const rows = paddedRows(tile, T);
      return { x: 2 * rows * K, weight: 4 * N * rowWords(dtype, K), y: 4 * Math.max(rows, piecesRows(shape)) * width };
    },
  });

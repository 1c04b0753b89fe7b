/**
 * The int4 products of a prompt by subgroup matrices: which kernel makes how many rows, and in how many pieces K is cut
 * so that every multiprocessor has work. What number of rows comes is known when a step runs, so a product is recorded
 * for each span of them, and so is whatever reads it.
 */
import { awqPanelsF16Matrix } from "../kernels/prefill/awq-panels-f16-matrix.ts";
import { awqPanelsGateUpMatrix } from "../kernels/prefill/awq-panels-gate-up-matrix.ts";
import { awqPrefillF16Matrix } from "../kernels/prefill/awq-prefill-f16-matrix.ts";
import { awqPrefillGateUpMatrix } from "../kernels/prefill/awq-prefill-gate-up-matrix.ts";
import { awqRows16F16Matrix, ROWS16, rows16Pieces } from "../kernels/prefill/awq-rows16-f16-matrix.ts";
import { awqRows16GateUpMatrix } from "../kernels/prefill/awq-rows16-gate-up-matrix.ts";
import { awqRows32F16Matrix } from "../kernels/prefill/awq-rows32-f16-matrix.ts";
import { awqRows32GateUpMatrix } from "../kernels/prefill/awq-rows32-gate-up-matrix.ts";
import { awqRows64F16Matrix } from "../kernels/prefill/awq-rows64-f16-matrix.ts";
import { awqRows64GateUpMatrix } from "../kernels/prefill/awq-rows64-gate-up-matrix.ts";
import { matmulPrefillF16Matrix } from "../kernels/prefill/matmul-prefill-f16-matrix.ts";
import { matmulRows32F16Matrix } from "../kernels/prefill/matmul-rows32-f16-matrix.ts";
import type { GpuDense, GpuLinear, GpuPacked } from "../model/tree.ts";
import type { Card, Kernel, Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import type { PiecesShape } from "../wgsl/matrix-tile.ts";

/**
 * How a product leaves y for some numbers of rows: in `pieces`, `apart` rows one behind the other. Where it adds to y they
 * lie behind y's own rows, none where nothing is left to add; else the first is y itself.
 */
export interface Left {
  readonly rows: Span;
  readonly pieces: number;
  readonly apart: number;
}

/** For every number of rows: y itself, or nothing to be added to it. */
export const leftWhole = (add: boolean): readonly Left[] => [{ rows: { from: 1, to: Infinity }, pieces: add ? 0 : 1, apart: ROWS16 }];

/** Rows and columns of a tile, and how many a multiprocessor has workgroup memory for. */
export type ProductTile = readonly [rows: number, columns: number, resident: number];

interface Range<Kernel = Card<"x" | "weights" | "groups" | "y", PiecesShape>> {
  readonly kernel: Kernel;
  readonly tile: ProductTile;
  /** The numbers of rows that it makes: more than those of the range before. */
  readonly upTo: number;
}
const wide = { kernel: awqPrefillF16Matrix, tile: [128, 128, 1] } as const;
const ranges: readonly Range[] = [
  { kernel: awqRows32F16Matrix, tile: [32, 128, 2], upTo: 32 },
  { kernel: awqRows64F16Matrix, tile: [64, 256, 1], upTo: 64 },
  { ...wide, upTo: 128 },
  { ...wide, upTo: 256 },
  { ...wide, upTo: 512 },
  { ...wide, upTo: Infinity },
];
/** The same where many rows of x lie in panels. */
const panelRanges: readonly Range[] = [...ranges.slice(0, -1), { kernel: awqPanelsF16Matrix, tile: [128, 128, 2], upTo: Infinity }];
/** Rows from which on they do, where a program has int4 linears alone (gpu/wgsl/eights.ts). */
export const PANELS_FROM = 513;

const wideDense = { ...wide, kernel: matmulPrefillF16Matrix };
const denseRanges: readonly Range<typeof matmulPrefillF16Matrix>[] = [
  { kernel: matmulRows32F16Matrix, tile: [32, 128, 2], upTo: 32 },
  ...[128, 256, 512, Infinity].map((upTo) => ({ ...wideDense, upTo })),
];

/** Gate, up and SiLU in one kernel, by their numbers of rows. */
const gateUps: readonly { readonly kernel: typeof awqRows16GateUpMatrix; readonly rows: Span }[] = [
  { kernel: awqRows16GateUpMatrix, rows: { from: 1, to: 17 } },
  { kernel: awqRows32GateUpMatrix, rows: { from: 17, to: 33 } },
  { kernel: awqRows64GateUpMatrix, rows: { from: 33, to: 65 } },
  { kernel: awqPrefillGateUpMatrix, rows: { from: 65, to: Infinity } },
];
const panelGateUps: typeof gateUps = [
  ...gateUps.slice(0, -1),
  { kernel: awqPrefillGateUpMatrix, rows: { from: 65, to: PANELS_FROM } },
  { kernel: awqPanelsGateUpMatrix, rows: { from: PANELS_FROM, to: Infinity } },
];

export const productKernels: readonly Kernel[] = [
  awqRows16F16Matrix,
  awqRows32F16Matrix,
  awqRows64F16Matrix,
  awqPrefillF16Matrix,
  awqPanelsF16Matrix,
  ...panelGateUps.map(({ kernel }) => kernel),
];
export const denseProductKernels: readonly Kernel[] = [matmulRows32F16Matrix, matmulPrefillF16Matrix];

/** Multiprocessors of the cards it was measured on. */
const PROCESSORS = 132;
const MOST_PIECES = 8;
/** Steps of 64 along K that a piece has at least. */
const LEAST_STEPS = 4;

/** Pieces of a product of up to T rows: those that keep most workgroups busy, fewer rather than more. */
export function productPieces([rows, columns, resident]: ProductTile, T: number, K: number, N: number): number {
  if (T === Infinity) return 1;
  const tiles = Math.ceil(T / rows) * Math.ceil(N / columns);
  /** In turns of a whole K: rounds of workgroups, and what writing and reading a piece costs beside K's products. */
  const cost = (pieces: number): number => Math.ceil((tiles * pieces) / (PROCESSORS * resident)) / pieces + (pieces - 1) * (60 / K);
  let best = 1;
  for (let pieces = 2; pieces <= Math.min(MOST_PIECES, Math.floor(K / 64 / LEAST_STEPS)); pieces++)
    if (cost(pieces) < cost(best)) best = pieces;
  return best;
}

/** Rows of y that the products of a model reach beyond those of a prompt, at most. */
export function rowsInPieces(products: readonly { readonly K: number; readonly N: number; readonly add: boolean }[], T: number): number {
  let most = 0;
  for (const { K, N, add } of products)
    for (const { tile, upTo } of [...ranges, ...denseRanges]) {
      const pieces = upTo < Infinity && upTo / 2 < T ? productPieces(tile, upTo, K, N) : 1;
      if (pieces > 1) most = Math.max(most, upTo * (pieces + (add ? 1 : 0)));
    }
  return most;
}

/** What a product makes: N columns of y, or adds to them; `whole`: in one piece whatever the rows; `panels`: x as PANELS_FROM says. */
export interface Product {
  readonly N: number;
  readonly add: boolean;
  readonly whole: boolean;
  readonly panels: boolean;
}

/** How the kernels of `ranges` leave a product of K inputs; ranges that do not differ are one. */
function leftBy<Kernel>(
  ranges: readonly Range<Kernel>[],
  first: number,
  K: number,
  { N, add, whole }: Product,
): (Left & { readonly kernel: Kernel })[] {
  const all: (Left & { readonly kernel: Kernel })[] = [];
  let from = first;
  for (const { kernel, tile, upTo } of ranges) {
    const cut = whole ? 1 : productPieces(tile, upTo, K, N);
    const pieces = cut === 1 && add ? 0 : cut;
    const last = all.at(-1);
    const same = last?.kernel === kernel && last.pieces === pieces && cut === 1;
    if (same) all[all.length - 1] = { ...last, rows: { from: last.rows.from, to: upTo + 1 } };
    else all.push({ kernel, rows: { from, to: upTo + 1 }, pieces, apart: cut === 1 ? ROWS16 : upTo });
    from = upTo + 1;
  }
  return all;
}

/** Records y (+)= x · Wᵀ of linears side by side in y, without their biases. */
export function recordProduct(
  recorder: Recorder,
  x: BufferArg,
  linears: readonly GpuLinear[],
  y: BufferArg,
  product: Product,
  label: string,
): readonly Left[] {
  const { weight, shared } = linears[0]!;
  if (weight.kind === "packed") return recordPacked(recorder, x, weight, y, product, label);
  if (shared?.kind !== "dense") return recordDense(recorder, x, linears.map(({ weight }) => weight) as GpuDense[], y, product, label);
  const { weights, ...matrix } = shared;
  const { N } = product;
  return recordDense(recorder, x, [{ ...matrix, N, pieces: [{ firstColumn: 0, N, weight: weights }] }], y, product, label);
}

/** A matrix that the linears share. */
function recordPacked(
  recorder: Recorder,
  x: BufferArg,
  { weights, groups, K, groupSize: group }: GpuPacked,
  y: BufferArg,
  product: Product,
  label: string,
): readonly Left[] {
  const { N, add, whole, panels } = product;
  const buffers = { x, weights, groups, y };
  const shape = { K, N, group, add };
  const few: Left = { rows: { from: 1, to: ROWS16 + 1 }, pieces: whole ? 1 : rows16Pieces(K, N), apart: ROWS16 };
  recordKernel(recorder, awqRows16F16Matrix, buffers, { ...shape, pieces: few.pieces }, { label, rows: few.rows });
  const left = leftBy(panels ? panelRanges : ranges, ROWS16 + 1, K, product);
  for (const { kernel, rows, ...how } of left) recordKernel(recorder, kernel, buffers, { ...shape, ...how }, { label, rows });
  return [few, ...left];
}

/** Each matrix, or the one that they share, and each part of one that lies in several buffers. */
function recordDense(
  recorder: Recorder,
  x: BufferArg,
  weights: readonly GpuDense[],
  y: BufferArg,
  product: Product,
  label: string,
): readonly Left[] {
  const left = leftBy(denseRanges, 1, weights[0]!.K, product);
  let first = 0;
  for (const { dtype, K, N: columns, pieces } of weights) {
    for (const { firstColumn, N, weight } of pieces)
      for (const { kernel, rows, ...how } of left) {
        const shape = { dtype, K, N, add: product.add, width: product.N, column: first + firstColumn, ...how };
        recordKernel(recorder, kernel, { x, weight, y }, shape, { label, rows });
      }
    first += columns;
  }
  return left;
}

/**
 * Records out = f16(silu(x · gateᵀ + bias) ∘ (x · upᵀ + bias)), F of a row, the kernel by the number of rows.
 */
export function recordGateUp(
  recorder: Recorder,
  buffers: { readonly x: BufferArg; readonly bias: BufferArg; readonly out: BufferArg },
  { weights, groups, K, groupSize: group }: GpuPacked,
  { F, hasBias, panels }: { readonly F: number; readonly hasBias: boolean; readonly panels: boolean },
  label: string,
): void {
  for (const { kernel, rows } of panels ? panelGateUps : gateUps)
    recordKernel(recorder, kernel, { ...buffers, weights, groups }, { K, F, group, hasBias }, { label, rows });
}

/**
 * Linears of the plain steps by tiles (gpu/wgsl/tile.ts): which tile makes how many rows, and in how many pieces K is
 * cut so that few tiles keep a device busy. What number of rows comes is known when a step runs, so a call is recorded
 * for each span of them.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { linearParts } from "../../core/model/layer.ts";
import type { Capabilities } from "../device/capabilities.ts";
import { awqTile16 } from "../kernels/plain/awq-tile16.ts";
import { awqTile64 } from "../kernels/plain/awq-tile64.ts";
import { joinPieces } from "../kernels/plain/join-pieces.ts";
import { matmulTile16 } from "../kernels/plain/matmul-tile16.ts";
import { matmulTile64 } from "../kernels/plain/matmul-tile64.ts";
import type { Kernel, Span } from "../pipeline/kernel.ts";
import { type Recorder, recordKernel, type When } from "../pipeline/recorder.ts";
import { type Tile, tile16, tile64 } from "../wgsl/tile.ts";

export const awqTileKernels: readonly Kernel[] = [awqTile16, awqTile64, joinPieces];
export const matmulTileKernels: readonly Kernel[] = [matmulTile16, matmulTile64, joinPieces];

/** Most rows fed at a time. */
export const TILE_ROWS = 512;

/** A tile and the rows that it makes: more than `above`, at most `upTo`. */
interface Range {
  readonly tile: Tile;
  readonly above: number;
  readonly upTo: number;
}
const ranges: readonly Range[] = [
  { tile: tile16, above: 0, upTo: 16 },
  ...[64, 128, 256, TILE_ROWS].map((upTo, i) => ({ tile: tile64, above: [16, 64, 128, 256][i]!, upTo })),
];

/** Multiprocessors of one NVIDIA H100 or H200, and workgroups of 128 that each of them runs at once. */
const PROCESSORS = 132;
const RESIDENT = 3;
/** Turns that one, two or three workgroups of a multiprocessor take: alone, each waits more. */
const turns = [0, 0.5, 0.75, 1];
const MOST_PIECES = 16;
/** Steps of 16 along K that a piece has at least. */
const LEAST_STEPS = 16;
/** Bytes that the pieces of one linear may take. */
const PARTS_BYTES = 2 ** 26;
/** Multiply-adds for each f32 that is written or read: what a piece costs. */
const PER_NUMBER = 26;

/** Pieces for T rows: of those that fill the device the fewest, as far as K and memory allow. */
export function tilePieces({ rows, columns }: Tile, T: number, K: number, N: number): number {
  const tiles = Math.ceil(T / rows) * Math.ceil(N / columns);
  const most = Math.min(MOST_PIECES, Math.floor(K / 16 / LEAST_STEPS), Math.floor(PARTS_BYTES / (4 * T * N)));
  /** In turns of a whole K: rounds of workgroups, and what pieces take to be written and read. */
  const cost = (pieces: number): number => {
    const rounds = (tiles * pieces) / (PROCESSORS * RESIDENT);
    const whole = Math.floor(rounds);
    const joined = pieces > 1 ? ((2 * pieces + 1) * PER_NUMBER * tiles) / (K * PROCESSORS * RESIDENT) : 0;
    return (whole + turns[Math.ceil((rounds - whole) * RESIDENT - 1e-9)]!) / pieces + joined;
  };
  let best = 1;
  for (let pieces = 2; pieces <= most; pieces++) if (cost(pieces) < 0.97 * cost(best)) best = pieces;
  return best;
}

/** Bytes for the pieces of every linear of a model; 0 where none is cut: software computes them one after the other. */
export function partsBytes(config: LlamaConfig, { software, limits }: Capabilities, rows: number): number {
  if (software) return 0;
  const linears = linearParts.map(({ inFeatures, outFeatures }) => [inFeatures(config), outFeatures(config)] as const);
  let most = 0;
  for (const [K, N] of [...linears, [config.hiddenSize, config.vocabSize] as const])
    for (const { tile, above, upTo } of ranges) {
      const pieces = above < rows ? tilePieces(tile, upTo, K, N) : 1;
      if (pieces > 1) most = Math.max(most, 4 * pieces * Math.min(upTo, rows) * N);
    }
  return most <= limits.maxStorageBufferBindingSize ? most : 0;
}

/** Where a linear goes, and memory for its pieces or none. */
export interface TileOutput {
  readonly out: GPUBuffer;
  readonly bias: GPUBuffer;
  readonly hasBias: boolean;
  readonly step: GPUBuffer;
  readonly parts: GPUBuffer | null;
}

/**
 * Records a linear of K inputs, N outputs for every number of rows in `rows`: `product` a tile's part of it. One whose
 * weight lies in several buffers is not cut.
 */
export function recordTiles(
  recorder: Recorder,
  { out, bias, hasBias, step, parts }: TileOutput,
  { K, N, cut, rows }: { readonly K: number; readonly N: number; readonly cut: boolean; readonly rows: Span },
  label: string,
  product: (tile: Tile, to: GPUBuffer, pieces: number, hasBias: boolean, when: When) => void,
): void {
  for (const { tile, above, upTo } of ranges) {
    const span = { from: Math.max(above + 1, rows.from), to: Math.min(upTo === TILE_ROWS ? Infinity : upTo + 1, rows.to) };
    if (span.from >= span.to) continue;
    const when = { label, rows: span };
    const pieces = cut && parts ? tilePieces(tile, upTo, K, N) : 1;
    if (pieces === 1) product(tile, out, 1, hasBias, when);
    else {
      product(tile, parts!, pieces, false, when);
      recordKernel(recorder, joinPieces, { step, parts: parts!, bias, out }, { N, pieces, hasBias }, when);
    }
  }
}

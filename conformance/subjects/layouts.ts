/** How the kernels want their operands to lie, for cases that have them in their natural order. */
import { packFixed16Digits } from "../../core/quant/fixed16.ts";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { awqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { packedSizes } from "../../gpu/wgsl/awq.ts";
import { type CacheDType, notedPosition } from "../../gpu/wgsl/cache.ts";
import { eightsWords, PANEL_ROWS } from "../../gpu/wgsl/eights.ts";
import { inPlanes, plane } from "../../gpu/wgsl/fixed16.ts";
import { encodeRows } from "../../gpu/wgsl/rows.ts";
import { halfNumbers } from "../accuracy.ts";
import { finiteF16Bits } from "../arbitraries.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { type NormedRow, quantized } from "../cases/fixed16.ts";
import { asF32, FILL, type Io, inside } from "./rig.ts";

/**
 * Rows from … to − 1 of a dense matrix padded to whole words, as the loader lays them out, but with junk: 65504, or as
 * bf16 3·10³⁸.
 */
export function paddedRows({ data, inFeatures: K, outFeatures }: DenseMatrix, from = 0, to: number = outFeatures): ArrayBufferView {
  const rows = data.slice(from * K, to * K);
  if (rows instanceof Float32Array || K % 2 === 0) return rows;
  const padded = new Uint16Array((to - from) * (K + 1)).fill(0x7bff);
  for (let n = 0; n < to - from; n++) padded.set(rows.subarray(n * K, (n + 1) * K), n * (K + 1));
  return padded;
}

/**
 * A matrix in two pieces, as one larger than a binding lies; the upper one first, so that nobody mends what the lower
 * one spoils.
 */
export function inTwo({ outFeatures: N }: DenseMatrix): { from: number; to: number }[] {
  const half = Math.ceil(N / 2);
  return [
    { from: half, to: N },
    { from: 0, to: half },
  ].filter(({ from, to }) => from < to);
}

export const roundToF16 = (x: Float32Array): Float32Array => x.map((v) => halfNumbers()[finiteF16Bits(v)]!);

/** f16 numbers as their bits, up to `length` with FILL. */
export function toHalves(x: Float32Array, length: number = x.length): Uint16Array {
  const bits = new Uint16Array(length).fill(finiteF16Bits(FILL));
  for (let i = 0; i < x.length; i++) bits[i] = finiteF16Bits(x[i]!);
  return bits;
}

/** The numbers between the guard bands of an f16 output, widened. */
export function fromHalves(words: Uint32Array): Float32Array {
  const { buffer, byteOffset, length } = inside(words);
  return Float32Array.from(new Uint16Array(buffer, byteOffset, length * 2), (bits) => halfNumbers()[bits]!);
}

/** Rows of a chunk of a prompt at most. */
const MOST_ROWS = 2048;

/** A run of numbers as rows: as many as the largest power of two that divides it says. */
export function inRows(length: number): { readonly T: number; readonly shape: { readonly width: number } } {
  let T = 1;
  while (length % (2 * T) === 0 && T < MOST_ROWS) T *= 2;
  return { T, shape: { width: length / T } };
}

/** Keys or values as the cache holds them. */
export const asCache = (x: Float32Array, dtype: CacheDType): ArrayBufferView => (dtype === "f32" ? x : toHalves(x));

/** K numbers of an f32 output in planes (gpu/wgsl/fixed16.ts), in their natural order; NaN where what lies past them is not 0. */
export function fromPlanes(words: Uint32Array, K: number): Float32Array {
  const planes = asF32(inside(words));
  const all = planes.map((_, k) => planes[plane(k, planes.length)]!);
  return all.subarray(K).every((x) => x === 0) ? all.slice(0, K) : new Float32Array(K).fill(Number.NaN);
}

/** Place of element i of eight: 0 2 4 6 1 3 5 7 (gpu/wgsl/eights.ts). */
const eighth = (i: number): number => (i & ~7) + ((i & 7) >> 1) + 4 * (i & 1);

/** f16 rows in eights, up to `length` with FILL. */
export function toEights(x: Float32Array, length: number): Uint16Array {
  const moved = new Float32Array(x.length);
  x.forEach((value, i) => {
    moved[eighth(i)] = value;
  });
  return toHalves(moved, length);
}

/** An output of f16 rows in eights, in its natural order. */
export function fromEights(words: Uint32Array): Float32Array {
  const eights = fromHalves(words);
  return eights.map((_, i) => eights[eighth(i)]!);
}

/** `exact`, NaN where `halves` are not the same rounded to f16. */
export const whereRounded = (exact: Float32Array, halves: Float32Array): Float32Array =>
  exact.map((x, i) => {
    const held = Math.max(-65504, Math.min(65504, x));
    return Math.abs(halves[i]! - held) <= Math.abs(held) * 2 ** -10 + 2 ** -24 ? x : Number.NaN;
  });

/** Place of element i of rows of K in panels (gpu/wgsl/eights.ts), in eights. */
function panelled(i: number, K: number): number {
  const [t, k] = [Math.floor(i / K), i % K];
  return ((Math.floor(t / PANEL_ROWS) * (K / 32) + Math.floor(k / 32)) * PANEL_ROWS + (t % PANEL_ROWS)) * 32 + eighth(k % 32);
}

/** f16 rows of K in panels of eights, those that x has not of FILL. */
export function toPanels(x: Float32Array, K: number): Uint16Array {
  const moved = new Float32Array(8 * eightsWords(x.length / K, K, true)).fill(FILL);
  x.forEach((value, i) => {
    moved[panelled(i, K)] = value;
  });
  return toHalves(moved);
}

/** An output of T f16 rows of K in panels of eights, in its natural order. */
export function fromPanels(words: Uint32Array, T: number, K: number): Float32Array {
  const panels = fromHalves(words);
  return Float32Array.from({ length: T * K }, (_, i) => panels[panelled(i, K)]!);
}

/**
 * Matrices repacked one behind the other, as q, k, v or gate and up are, behind `firstRow` other rows; biases behind
 * their groups.
 */
export function packed(
  io: Io,
  matrices: readonly AwqMatrix[],
  firstRow = 0,
  allocate: (label: string, byteLength: number, end?: Uint32Array) => BufferArg = io.scratch,
  unit = 1,
  bias: Float32Array | null = null,
): Record<"weights" | "groups", BufferArg> {
  const { inFeatures: K, groupSize } = matrices[0]!;
  const sizes = packedSizes(K, firstRow + matrices.reduce((sum, { outFeatures }) => sum + outFeatures, 0), groupSize);
  const behind = bias ? new Uint32Array(bias.buffer, bias.byteOffset, bias.length) : new Uint32Array(0);
  const target = { weights: allocate("weights", sizes.weights), groups: allocate("groups", sizes.groups + behind.byteLength, behind) };
  let row = firstRow;
  for (const { outFeatures: N, qweight, qzeros, scales } of matrices) {
    io.run(awqRepack, { K, N, groupSize, unit, firstRow: row }, { qweight, qzeros, scales, ...target });
    row += N;
  }
  return target;
}

/** Dense matrices one behind the other, and their biases. */
export function denseRows(matrices: readonly DenseMatrix[], bias: Float32Array | null): Record<"weights" | "bias", ArrayBufferView> {
  const bytes = matrices.flatMap((matrix) => {
    const { buffer, byteOffset, byteLength } = paddedRows(matrix);
    return [...new Uint8Array(buffer, byteOffset, byteLength)];
  });
  return { weights: Uint8Array.from(bytes), bias: bias ?? new Float32Array(1) };
}

/** A row as awq-add-fixed16 leaves it: in planes, as digits, and its blocks. */
export function normedRow({
  scaled,
  squares,
}: Pick<NormedRow, "scaled" | "squares">): Record<"scaled" | "digits" | "blocks", ArrayBufferView> {
  return { scaled: inPlanes(scaled), ...digitsOf(scaled, squares) };
}

/** A row's digits and blocks, as awq-add-fixed16 leaves them. */
export function digitsOf(scaled: Float32Array, squares: Float32Array): Record<"digits" | "blocks", Uint32Array> {
  const x = quantized(scaled);
  const blocks = new Uint32Array(4 * squares.length);
  const numbers = new Float32Array(blocks.buffer);
  for (let b = 0; b < squares.length; b++) {
    numbers[4 * b] = x.scales[b]!;
    blocks[4 * b + 1] = x.sums[b]!;
    numbers[4 * b + 2] = squares[b]!;
  }
  return { digits: packFixed16Digits(x, 0), blocks };
}

/**
 * How many words of digits and blocks are not those of the CPU's quantization of `scaled`, with zeros past its end. Of a block whose scale is NaN neither
 * digits nor their sum count.
 */
export function digitErrors(scaled: Float32Array, digits: Uint32Array, blocks: Uint32Array): number {
  const x = quantized(scaled);
  const none = (b: number): boolean => Number.isNaN(x.scales[b]);
  const expected = packFixed16Digits(x, 0);
  // Words of digits that change with the numbers of blocks whose scale is NaN are theirs.
  const other = packFixed16Digits({ ...x, values: x.values.map((v, k) => (none(Math.floor(k / x.block)) ? ~v : v)) }, 0);
  const scales = asF32(blocks);
  let wrong = 0;
  for (let i = 0; i < expected.length; i++) if (other[i] === expected[i] && digits[i] !== expected[i]) wrong++;
  for (let b = 0; b < x.scales.length; b++) {
    if (!Object.is(scales[4 * b], x.scales[b])) wrong++;
    if (!none(b) && (blocks[4 * b + 1]! | 0) !== x.sums[b]) wrong++;
    if (blocks[4 * b + 3] !== 0) wrong++;
  }
  return wrong;
}

/** Σ residual² of each block from `blocks`. */
export const squaresOf = (blocks: Uint32Array): Float32Array => asF32(inside(blocks)).filter((_, i) => i % 4 === 2);

/** The most pieces that the subjects cut rows into. */
export const PIECES = 3;

/** x [T, width] as `count` pieces of 16 rows whose sum it is: element i in piece i mod count, 0 in the others. */
export function inPieces(x: Float32Array, width: number, count: number): Float32Array {
  const pieces = new Float32Array(count * ROWS16 * width).fill(FILL);
  for (let p = 0; p < count; p++)
    pieces.set(
      x.map((value, i) => (i % count === p ? value : 0)),
      p * ROWS16 * width,
    );
  return pieces;
}

/** The position that a kernel noted (gpu/wgsl/cache.ts), −1 for none. */
export const positionNoted = (word: number): number => notedPosition(word) ?? -1;
/** The word that notes a position above 0: word and position are each what a constant leaves of the other. */
export const wordNoting = (position: number): number => notedPosition(position)!;

/**
 * A slot of a batch's caches in which so many elements of each lie; another is behind it. Few are in a late one, as of a batch of many.
 */
const slotFor = (elements: number): number => (elements <= 8192 ? 70 : 1);

/**
 * T rows from `start` on as rows of a batch, the last first, each at its own position of one slot of so many elements, the last but one.
 * `turned` brings values of T rows into that order, and back; `inSlot` has FILL in the other slots, which must not be seen.
 */
export function rowsInSlot(
  { T, start }: { readonly T: number; readonly start: number },
  elements: number,
): {
  readonly rows: Uint32Array;
  readonly slot: number;
  readonly slots: number;
  readonly inSlot: (cached: Float32Array) => Float32Array;
  readonly turned: (values: Float32Array) => Float32Array;
} {
  const slot = slotFor(elements);
  const slots = slot + 2;
  return {
    rows: encodeRows(Array.from({ length: T }, (_, t) => ({ slot, start: start + T - 1 - t }))),
    slot,
    slots,
    inSlot(cached) {
      const all = new Float32Array(slots * elements).fill(FILL);
      all.set(cached, slot * elements);
      return all;
    },
    turned(values) {
      const width = values.length / T;
      return values.map((_, i) => values[(T - 1 - Math.floor(i / width)) * width + (i % width)]!);
    },
  };
}

/** `rowsInSlot` for attention, with the positions of a slot: two more than are seen. */
export function attentionInSlot({
  T,
  start,
  shape: { G, Hd },
}: AttentionCase): ReturnType<typeof rowsInSlot> & { readonly capacity: number } {
  const capacity = start + T + 2;
  return { ...rowsInSlot({ T, start }, capacity * G * Hd), capacity };
}

/** Means of `splits` of the keys (attention-prefill-matrix.ts, batch-attention.ts) as one: out [T, H, Hd]. */
export function joinSplits(rows: Float32Array, stats: Float32Array, splits: number, T: number, H: number, Hd: number): Float32Array {
  return Float32Array.from({ length: T * H * Hd }, (_, i) => {
    const of = Array.from({ length: splits }, (_, z) => {
      const at = z * SPLIT_ROWS * H + Math.floor(i / Hd);
      return { most: stats[2 * at]!, sum: stats[2 * at + 1]!, value: rows[at * Hd + (i % Hd)]! };
    }).filter(({ sum }) => sum !== 0);
    const most = Math.max(...of.map(({ most }) => most));
    const weights = of.map(({ most: m, sum }) => sum * Math.exp(m - most));
    const total = weights.reduce((a, b) => a + b, 0);
    return of.reduce((sum, { value }, z) => sum + (weights[z]! / total) * value, 0);
  });
}

/**
 * Rows as integers times a power of two (docs/exact.md, "Fixed rows"), in signed digits of eight bits for dot4I8Packed.
 * x [rows, K] words, or a dense matrix as stored; digits [rows, 2 P, B] vec4<u32>, B = ⌈K/32⌉: the half block b of digit p at 2p + half, byte
 * c of word j being k = 32 b + 4 j + c, zeros past K; sums [rows, B] vec4<i32>: Σ of each digit over a block; exponents [rows].
 * PARTS workgroups of 256 (or LANES) per row, which each holds in its registers, take the row's largest word by themselves and write a part of the words.
 * Also how dense weights become fixed rows, once, at load. Workgroup memory: 20 bytes per lane and 16. Limited by memory, for one row by latency.
 */

import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { dtypeCode, rowWords } from "../../wgsl/dense.ts";
import { exactFixed, exactIntegers, exactNumbers, exactRowOf, exactRows, exactRows32, exactStored, rowGrid } from "../../wgsl/exact.ts";
import {
  exactDigitWords,
  exactHeldRow,
  exactNorms,
  exactRowMax,
  exactWordOf,
  exactWords,
  normBytes,
  normsOf,
  quadsOf,
  rowMaxBytes,
} from "../../wgsl/exact-row.ts";

/** Digits of a linear's input: 3, of down_proj's 4. */
export type Digits = 3 | 4;
export const blocksOf = (K: number): number => Math.ceil(K / 32);
/** Rows of whole tiles (`step`). */
export const tiledRows = (rows: number): number => Math.ceil(rows / 64) * 64;
/** Bytes of the three outputs for so many rows; of digits by steps, those of whole tiles. */
export const digitBytes = (K: number, P: Digits, rows: number, step = 0): { digits: number; sums: number; exponents: number } => ({
  digits: (step ? tiledRows(rows) : rows) * P * blocksOf(K) * 32,
  sums: rows * blocksOf(K) * 16,
  exponents: rows * 4,
});

/** Bytes of `sums` where digits' sums are left there, or a norm of each row, or neither. */
export const leftBytes = (sums: number, rows: number, summed: boolean, norms: boolean): number => (summed ? sums : norms ? 16 * rows : 16);

/** `rows`: of a stored matrix, whose sums nobody wants; absent: T rows of activations. `lanes`: of a workgroup; `parts`: workgroups of a row, 1 where
 * absent; `unit`: as in awq-repack.ts, of the linear that reads them; `step`: blocks that lie together for it (exact-row.ts), 0 where absent; `summed`: whether sums are left, of activations where absent;
 * `norms`: instead of them a norm of each row (exact-row.ts), for P = 3 and one part. */
export type ExactDigitsShape = Readonly<{
  K: number;
  P: Digits;
  dtype?: FloatDType;
  rows?: number;
  lanes?: number;
  parts?: number;
  unit?: number;
  step?: number;
  summed?: boolean;
  norms?: boolean;
}>;

export const exactDigits: Card<"x" | "digits" | "sums" | "exponents", ExactDigitsShape> = makeCard({
  name: "exact-digits",
  wgsl: /* wgsl */ `
struct Params { rows: u32 }
const QUADS = 1u;
override K: u32 = 4096u;
override P: u32 = 3u; // digits: 3 or 4
override ROW_WORDS: u32 = K;
override BLOCKS: u32 = (K + 31u) / 32u;
override LANES: u32 = 256u;
override PARTS: u32 = 1u;
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> digits: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(4) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactRows}${exactRows32}${exactStored}${exactRowMax}${exactNorms}${exactHeldRow}${exactRowOf}${exactWordOf}${exactDigitWords}${exactWords}
fn value(row: u32, k: u32) -> u32 { return select(0u, stored(x[row * ROW_WORDS + min(k, K - 1u) / PER_WORD], k % PER_WORD == 1u), k < K); }
${exactFixed}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = min(row_of(wg), params.rows - 1u);
  var row: array<vec4<u32>, QUADS>;
  for (var i = 0u; i < QUADS; i++) {
    let k = 4u * (i * LANES + lane);
    row[i] = vec4<u32>(value(t, k), value(t, k + 1u), value(t, k + 2u), value(t, k + 3u));
  }
  clear_squares(lane);
  let biased = row_biased(row_max(lane, largest_of(row)));
  for (var i = 0u; i < QUADS; i++) {
    if (i % PARTS == wg.x) {
      let v = vec4<i32>(fixed(row[i].x, biased), fixed(row[i].y, biased), fixed(row[i].z, biased), fixed(row[i].w, biased));
      add_squares(i * LANES + lane, v);
      put_word(word_of(v.x, v.y, v.z, v.w), t, P, i * LANES + lane, lane, BLOCKS);
    }
  }
  leave_norm(lane, t);
  if (lane == 0u && wg.x == 0u) { exponents[t] = biased - 149 - select(8, 0, P == 3u); }
}
`,
  emits: ["QUADS"],
  workgroupBytes: ({ K, lanes = 256, norms = false }) => rowMaxBytes(lanes) + 16 * lanes + normBytes(32 * blocksOf(K), lanes, norms),
  call: ({
    K,
    P,
    dtype = "F32",
    rows,
    lanes = 256,
    parts = 1,
    unit = 1,
    step = 0,
    norms = false,
    summed = rows === undefined && !norms,
  }) => ({
    params: { rows: rows ?? 0x7fffffff },
    overrides: {
      K,
      P,
      ROW_WORDS: rowWords(dtype, K),
      DTYPE: dtypeCode[dtype],
      SUMS: summed,
      ...normsOf(32 * blocksOf(K), lanes, norms),
      LANES: lanes,
      PARTS: parts,
      UNIT: unit,
      STEP: step,
    },
    emitted: { QUADS: `${quadsOf(32 * blocksOf(K), lanes)}u` },
    workgroups: (T) => rowGrid(parts, rows ?? T),
  }),
  sizes: ({ K, P, dtype = "F32", rows, step, norms = false, summed = rows === undefined && !norms }, T) => {
    const { digits, sums, exponents } = digitBytes(K, P, rows ?? T, step);
    return { x: 4 * (rows ?? T) * rowWords(dtype, K), digits, sums: leftBytes(sums, rows ?? T, summed, norms), exponents };
  },
});

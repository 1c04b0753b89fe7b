/**
 * Rows as integers times a power of two (docs/exact.md, "Fixed rows"), in signed digits of eight bits for dot4I8Packed.
 * x [rows, K] words, or a dense matrix as stored; digits [rows, 2 P, B] vec4<u32>, B = ⌈K/32⌉: the half block b of digit p at 2p + half, byte
 * c of word j being k = 32 b + 4 j + c, zeros past K; sums [rows, B] vec4<i32>: Σ of each digit over a block; exponents [rows].
 * A workgroup of 256 (or LANES) makes EACH words per lane, eight a block, and takes the row's largest word by itself. Workgroup memory: 5 KiB.
 * Also how dense weights become fixed rows, once, at load. Limited by memory.
 */

import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { dtypeCode, rowWords } from "../../wgsl/dense.ts";
import {
  exactDigitsOf,
  exactIntegers,
  exactNumbers,
  exactRowMax,
  exactRowOf,
  exactRows,
  exactRows32,
  exactStored,
  exactWords,
  rowGrid,
} from "../../wgsl/exact.ts";

/** Digits of a linear's input: 3, of down_proj's 4. */
export type Digits = 3 | 4;
export const blocksOf = (K: number): number => Math.ceil(K / 32);
/** Bytes of the three outputs for so many rows. */
export const digitBytes = (K: number, P: Digits, rows: number): { digits: number; sums: number; exponents: number } => ({
  digits: rows * P * blocksOf(K) * 32,
  sums: rows * blocksOf(K) * 16,
  exponents: rows * 4,
});

/** `rows`: of a stored matrix, whose sums nobody wants; absent: T rows of activations. `lanes`: of a workgroup; `each`: words of a lane, 1 where
 * absent; `unit`: as in awq-repack.ts, of the linear that reads them. */
export type ExactDigitsShape = Readonly<{
  K: number;
  P: Digits;
  dtype?: FloatDType;
  rows?: number;
  lanes?: number;
  each?: number;
  unit?: number;
}>;

export const exactDigits: Card<"x" | "digits" | "sums" | "exponents", ExactDigitsShape> = makeCard({
  name: "exact-digits",
  wgsl: /* wgsl */ `
struct Params { rows: u32 }
override K: u32 = 4096u;
override P: u32 = 3u; // digits: 3 or 4
override ROW_WORDS: u32 = K;
override BLOCKS: u32 = (K + 31u) / 32u;
override LANES: u32 = 256u;
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> digits: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(4) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactRows}${exactRows32}${exactDigitsOf}${exactStored}${exactRowMax}${exactRowOf}${exactWords}
fn value(row: u32, k: u32) -> u32 { return stored(x[row * ROW_WORDS + k / PER_WORD], k % PER_WORD == 1u); }
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = min(row_of(wg), params.rows - 1u);
  var top = 0u;
  for (var k = lane; k < K; k += LANES) { top = max(top, value(row, k) & 0x7fffffffu); }
  let biased = row_biased(row_max(lane, top));
  for (var i = 0u; i < EACH; i++) {
    let at = (wg.x * EACH + i) * LANES + lane;
    var word = Word();
    for (var c = 0u; c < 4u; c++) {
      let k = 4u * at + c;
      if (k < K) {
        var v = 0;
        if (P == 3u) { v = fix24(value(row, k), biased); } else { v = fix32(value(row, k), biased); }
        word = with_digits(word, v, c);
      }
    }
    put_word(word, row, P, at, lane, BLOCKS);
  }
  if (lane == 0u && wg.x == 0u) { exponents[row] = biased - 149 - select(8, 0, P == 3u); }
}
`,
  workgroupBytes: ({ lanes = 256 }) => 20 * lanes,
  call: ({ K, P, dtype = "F32", rows, lanes = 256, each = 1, unit = 1 }) => ({
    params: { rows: rows ?? 0x7fffffff },
    overrides: {
      K,
      P,
      ROW_WORDS: rowWords(dtype, K),
      DTYPE: dtypeCode[dtype],
      SUMS: rows === undefined,
      LANES: lanes,
      EACH: each,
      UNIT: unit,
    },
    workgroups: (T) => rowGrid(Math.ceil((8 * blocksOf(K)) / (lanes * each)), rows ?? T),
  }),
  sizes: ({ K, P, dtype = "F32", rows }, T) => {
    const { digits, sums, exponents } = digitBytes(K, P, rows ?? T);
    return { x: 4 * (rows ?? T) * rowWords(dtype, K), digits, sums: rows === undefined ? sums : 16, exponents };
  },
});

/**
 * exact-digits.ts of one row whose largest word is handed on: behind x [K] lie TOPS words of which the largest is that of the row, as those who made
 * it left them (exact-awq-words.ts), so that nobody reads the whole row before its digits. x [K + TOPS] words, K % 4 = 0; digits [2 P, B] vec4<u32>,
 * sums [B] vec4<i32>, B = ⌈K/32⌉, exponents [1], as exact-digits.ts leaves them, by UNIT. A lane makes one word of four neighbours. Workgroup memory:
 * 20 bytes per lane and 16. Limited by latency.
 */

import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactFixed, exactIntegers, exactNumbers, exactRows, exactRows32 } from "../../wgsl/exact.ts";
import { exactDigitWords, exactRowMax, exactWordOf, exactWords, rowMaxBytes } from "../../wgsl/exact-row.ts";
import { blocksOf, type Digits, digitBytes } from "./exact-digits.ts";

/** `tops`: words behind the row, at least one; `lanes`: of a workgroup, a power of two from 8 on; `unit`: of the linear that reads the digits (awq-repack.ts). */
export type ExactHandedDigitsShape = Readonly<{ K: number; P: Digits; tops: number; lanes: number; unit: number }>;

/** Lanes of a workgroup: more of these, smaller, are done sooner than fewer. */
export const HANDED_LANES = 128;

export const exactHandedDigits: Card<"x" | "digits" | "sums" | "exponents", ExactHandedDigitsShape> = makeCard({
  name: "exact-handed-digits",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override P: u32 = 4u; // digits: 3 or 4
override TOPS: u32 = 1u;
override BLOCKS: u32 = (K + 31u) / 32u;
override LANES: u32 = 128u;
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> digits: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read_write> exponents: array<i32>;
${exactIntegers}${exactNumbers}${exactRows}${exactRows32}${exactRowMax}${exactWordOf}${exactDigitWords}${exactWords}
${exactFixed}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = wg.x * LANES + lane;
  let four = select(vec4<u32>(0u), x[min(at, K / 4u - 1u)], at < K / 4u);
  var top = 0u;
  for (var i = K + lane; i < K + TOPS; i += LANES) { top = max(top, x[i / 4u][i % 4u]); }
  let biased = row_biased(row_max(lane, top));
  put_word(word_of(fixed(four.x, biased), fixed(four.y, biased), fixed(four.z, biased), fixed(four.w, biased)), 0u, P, at, lane, BLOCKS);
  if (at == 0u) { exponents[0] = biased - 149 - select(8, 0, P == 3u); }
}
`,
  workgroupBytes: ({ lanes }) => rowMaxBytes(lanes) + 16 * lanes,
  call: ({ K, P, tops, lanes, unit }) => ({
    overrides: { K, P, TOPS: tops, LANES: lanes, UNIT: unit },
    workgroups: () => [Math.ceil((8 * blocksOf(K)) / lanes), 1, 1],
  }),
  sizes: ({ K, P, tops }) => ({ x: 16 * Math.ceil((K + tops) / 4), ...digitBytes(K, P, 1) }),
});

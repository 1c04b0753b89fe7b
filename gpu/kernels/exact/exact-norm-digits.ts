/**
 * exact-norm.ts and exact-digits.ts in one: the digits, sums and exponents of mul(mul(x[t, d], r_t), weight[d]), three digits each. x [T, D] words, weight [D];
 * digits [T, 6, B] vec4<u32>, B = ⌈D/32⌉, sums [T, B] vec4<i32>, exponents [T], as exact-digits.ts lays them out. A workgroup of LANES makes EACH words of four
 * components per lane; each takes the row's norm and largest result by itself. Workgroup memory: 28 bytes per lane. Limited by latency, and integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  exactDigitsOf,
  exactIntegers,
  exactNormFactor,
  exactNumbers,
  exactReciprocal,
  exactRoot,
  exactRowMax,
  exactRowOf,
  exactRowSum,
  exactRows,
  exactWords,
  rowGrid,
} from "../../wgsl/exact.ts";
import { blocksOf, digitBytes } from "./exact-digits.ts";

/** `inverse`, `eps`: words of rn(1/D) and of eps; `lanes`: of a workgroup; `each`: words of a lane; `unit`: of the linear that reads the digits (awq-repack.ts). */
export type ExactNormDigitsShape = Readonly<{ D: number; inverse: number; eps: number; lanes: number; each: number; unit: number }>;

export const exactNormDigits: Card<"x" | "weight" | "digits" | "sums" | "exponents", ExactNormDigitsShape> = makeCard({
  name: "exact-norm-digits",
  wgsl: /* wgsl */ `
struct Params { D: u32, inverse: u32, eps: u32 }
override LANES: u32 = 256u;
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> digits: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(4) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(5) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactRows}${exactReciprocal}${exactRoot}${exactDigitsOf}${exactRowMax}${exactRowSum}${exactRowOf}${exactNormFactor}${exactWords}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let D = params.D;
  let t = row_of(wg);
  let row = t * D;
  let blocks = (D + 31u) / 32u;
  // 1. The norm, and the largest result.
  let r = norm_factor(row, lane, D, params.inverse, params.eps);
  var top = 0u;
  for (var d = lane; d < D; d += LANES) { top = max(top, mulf(mulf(x[row + d], r), weight[d]) & 0x7fffffffu); }
  let biased = row_biased(row_max(lane, top));
  // 2. Four results a word.
  for (var i = 0u; i < EACH; i++) {
    let word = (wg.x * EACH + i) * LANES + lane;
    var made = Word();
    for (var c = 0u; c < 4u; c++) {
      let d = 4u * word + c;
      if (d < D) { made = with_digits(made, fix24(mulf(mulf(x[row + d], r), weight[d]), biased), c); }
    }
    put_word(made, t, 3u, word, lane, blocks);
  }
  if (lane == 0u && wg.x == 0u) { exponents[t] = biased - 149; }
}
`,
  workgroupBytes: ({ lanes }) => 28 * lanes,
  call: ({ D, inverse, eps, lanes, each, unit }) => ({
    params: { D, inverse, eps },
    overrides: { LANES: lanes, EACH: each, UNIT: unit },
    workgroups: (T) => rowGrid(Math.ceil((8 * blocksOf(D)) / (lanes * each)), T),
  }),
  sizes: ({ D }, T) => ({ x: 4 * T * D, weight: 4 * D, ...digitBytes(D, 3, T) }),
});

/**
 * exact-norm.ts and exact-digits.ts in one: the digits, sums and exponents of mul(mul(x[t, d], r_t), weight[d]), three digits each. x [T, D] words, weight [D];
 * digits [T, 6, B] vec4<u32>, B = ⌈D/32⌉, sums [T, B] vec4<i32>, exponents [T], as exact-digits.ts lays them out. PARTS workgroups of LANES per row, which
 * each holds in its registers, take the row's norm and largest result by themselves and write a part of the words. Workgroup memory: 36 bytes per lane and 48.
 * Limited by latency, and integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactReciprocal, exactRoot, exactRowOf, exactRows, rowGrid } from "../../wgsl/exact.ts";
import {
  exactDigitWords,
  exactHeldRow,
  exactNormFactor,
  exactNorms,
  exactRowMax,
  exactRowSum,
  exactWordOf,
  exactWords,
  normBytes,
  normsOf,
  quadsOf,
  rowMaxBytes,
  rowSumBytes,
} from "../../wgsl/exact-row.ts";
import { blocksOf, digitBytes, leftBytes } from "./exact-digits.ts";

/** `inverse`, `eps`: words of rn(1/D) and of eps; `lanes`: of a workgroup; `parts`: workgroups of a row; `unit`: of the linear that reads the digits
 * (awq-repack.ts); `step`, `summed`, `norms`: as for exact-digits.ts. */
export type ExactNormDigitsShape = Readonly<{
  D: number;
  inverse: number;
  eps: number;
  lanes: number;
  parts: number;
  unit: number;
  step?: number;
  summed?: boolean;
  norms?: boolean;
}>;

export const exactNormDigits: Card<"x" | "weight" | "digits" | "sums" | "exponents", ExactNormDigitsShape> = makeCard({
  name: "exact-norm-digits",
  wgsl: /* wgsl */ `
struct Params { inverse: u32, eps: u32 }
const QUADS = 1u;
override D: u32 = 4096u;
override PARTS: u32 = 1u;
override LANES: u32 = 256u;
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> digits: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<i32>>;
@group(0) @binding(4) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(5) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactRows}${exactReciprocal}${exactRoot}${exactRowMax}${exactRowSum}${exactNorms}${exactHeldRow}${exactNormFactor}${exactRowOf}${exactWordOf}${exactDigitWords}${exactWords}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = row_of(wg);
  var row: array<vec4<u32>, QUADS>;
  var w: array<vec4<u32>, QUADS>;
  for (var i = 0u; i < QUADS; i++) {
    let at = vec4<u32>(4u * (i * LANES + lane)) + vec4<u32>(0u, 1u, 2u, 3u);
    let d = min(at, vec4<u32>(D - 1u));
    row[i] = select(vec4<u32>(0u), vec4<u32>(x[t * D + d.x], x[t * D + d.y], x[t * D + d.z], x[t * D + d.w]), at < vec4<u32>(D));
    w[i] = vec4<u32>(weight[d.x], weight[d.y], weight[d.z], weight[d.w]);
  }
  clear_squares(lane);
  let r = norm_factor(lane, row, params.inverse, params.eps);
  for (var i = 0u; i < QUADS; i++) {
    row[i] = vec4<u32>(
      mulf(mulf(row[i].x, r), w[i].x), mulf(mulf(row[i].y, r), w[i].y), mulf(mulf(row[i].z, r), w[i].z), mulf(mulf(row[i].w, r), w[i].w));
  }
  let biased = row_biased(row_max(lane, largest_of(row)));
  for (var i = 0u; i < QUADS; i++) {
    if (i % PARTS == wg.x) {
      let v = vec4<i32>(fix24(row[i].x, biased), fix24(row[i].y, biased), fix24(row[i].z, biased), fix24(row[i].w, biased));
      add_squares(i * LANES + lane, v);
      put_word(word_of(v.x, v.y, v.z, v.w), t, 3u, i * LANES + lane, lane, (D + 31u) / 32u);
    }
  }
  leave_norm(lane, t);
  if (lane == 0u && wg.x == 0u) { exponents[t] = biased - 149; }
}
`,
  emits: ["QUADS"],
  workgroupBytes: ({ D, lanes, norms = false }) =>
    rowMaxBytes(lanes) + rowSumBytes(lanes) + 16 * lanes + 16 + normBytes(32 * blocksOf(D), lanes, norms),
  call: ({ D, inverse, eps, lanes, parts, unit, step = 0, norms = false, summed = !norms }) => ({
    params: { inverse, eps },
    overrides: { D, LANES: lanes, PARTS: parts, UNIT: unit, STEP: step, SUMS: summed, ...normsOf(32 * blocksOf(D), lanes, norms) },
    emitted: { QUADS: `${quadsOf(8 * blocksOf(D) * 4, lanes)}u` },
    workgroups: (T) => rowGrid(parts, T),
  }),
  sizes: ({ D, step, norms = false, summed = !norms }, T) => {
    const { sums, ...others } = digitBytes(D, 3, T, step);
    return { x: 4 * T * D, weight: 4 * D, sums: leftBytes(sums, T, summed, norms), ...others };
  },
});

/**
 * Softmax of `exact`, in place: scores [rows, H, STRIDE] of the positions that a query sees become p̂, the fixed row of 32 bits of p_s = 2^−d_s times
 * the power of two of the value's row; stats [rows, H] = (exponent of p̂, word of 1/Z), Z the exact sum of the weights in units of 2^−46 (docs/exact.md).
 * One workgroup of LANES per head and row: the largest score, then weights 2^30 · 2^−d, their sum and p, then p̂ of what a lane wrote itself. SHARES leaves
 * mul(rn(w), 1/Z) instead of p̂, the attention weights as one looks at them, and 0 where nothing is seen. Workgroup memory: 20 bytes per lane and 32. Limited
 * by integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactOrder, exactPower, exactReciprocal, exactRows, exactRows32 } from "../../wgsl/exact.ts";
import { exactHeads, exactSeen, exactWeighing } from "../../wgsl/exact-attention.ts";
import { exactRowMax, exactRowSum, rowMaxBytes, rowSumBytes } from "../../wgsl/exact-row.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { exactCacheBytes } from "./exact-rope.ts";
import { attentionOverrides, type ExactAttentionPart, rowsOf } from "./exact-scores.ts";

/** Lanes where there are many rows: a workgroup's barriers and reductions cost more than its lanes bring. */
export const SOFTMAX_LANES = 32;
/** `shares`: see above; `lanes`: of a workgroup, 256 where absent. */
export type ExactSoftmaxShape = ExactAttentionPart & Readonly<{ shares?: boolean; lanes?: number }>;

export const exactSoftmax: Card<"step" | "exponents" | "scores" | "stats", ExactSoftmaxShape> = makeCard({
  name: "exact-softmax",
  wgsl: /* wgsl */ `
${stepWgsl}
${exactHeads}
${exactSeen}
override SHARES: bool = false;
override LANES: u32 = 256u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> exponents: array<i32>;
@group(0) @binding(2) var<storage, read_write> scores: array<u32>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec2<u32>>;
${exactIntegers}${exactNumbers}${exactRows}${exactRows32}${exactPower}${exactReciprocal}${exactOrder}${exactRowMax}${exactRowSum}${exactWeighing}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = wg.x; let r = count.y - 1u - wg.y; // the rows that see most first
  let g = h * G / H; let row = (r * H + h) * STRIDE;
  let last = step.start + min(FIRST + r, step.T - 1u);
  let first = select(0u, last + 1u - min(last + 1u, WINDOW), WINDOW <= last);
  var top = 0u;
  for (var s = first + lane; s <= last; s += LANES) { top = max(top, ordered(scores[row + s])); }
  let most = unordered(row_max(lane, top));
  var Z = vec2<u32>(0u);
  top = 0u;
  for (var s = first + lane; s <= last; s += LANES) {
    let m = weighed(most, scores[row + s]);
    Z = add64(Z, m.w);
    var e = 0;
    if (!SHARES) { e = exponents[(s * G + g) * 2u + 1u]; }
    let p = share_of(m, e);
    scores[row + s] = p;
    top = max(top, p);
  }
  let largest = row_max(lane, top);
  let all = row_sum(lane, Z);
  var inverse = 0u;
  if (SHARES || lane == 0u) { inverse = recipf(rn64u(false, all, -46)); }
  for (var s = first + lane; s <= last; s += LANES) {
    scores[row + s] = select(bitcast<u32>(fix32(scores[row + s], row_biased(largest))), mulf(scores[row + s], inverse), SHARES);
  }
  if (SHARES) {
    for (var s = lane; s < step.start + step.T; s += LANES) { if (s < first || s > last) { scores[row + s] = 0u; } }
  }
  if (lane == 0u) { stats[r * H + h] = vec2<u32>(bitcast<u32>(row_exponent(largest) - 8), inverse); }
}
`,
  workgroupBytes: ({ lanes = 256 }) => rowMaxBytes(lanes) + rowSumBytes(lanes),
  call: ({ shares = false, lanes = 256, ...part }) => ({
    overrides: { ...attentionOverrides(part), SHARES: shares, LANES: lanes },
    workgroups: (T) => [part.H, rowsOf(part, T), 1],
  }),
  sizes: (part, T, start) => ({
    exponents: exactCacheBytes(part, start + T).exponents,
    scores: 4 * rowsOf(part, T) * part.H * part.stride,
    stats: 8 * rowsOf(part, T) * part.H,
  }),
});

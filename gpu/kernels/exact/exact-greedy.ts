/**
 * The likeliest id of `exact`, the lowest among equals, and its surprisal in units of 2^−24 bits (docs/exact.md), from what exact-greedy-parts.ts left of the
 * logits in partials [64]; moves the sequence on by one token without the host: results[sampled] = (id, surprisal), ids[0] = id, step becomes
 * (1, start + 1, sampled + 1). One workgroup of 64: the lowest id, the sum of all weights, its logarithm bit by bit. Workgroup memory: 1.3 KiB.
 * Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers } from "../../wgsl/exact.ts";
import { exactRowMax, exactRowSum, rowMaxBytes, rowSumBytes } from "../../wgsl/exact-row.ts";
import { RESULT_BYTES } from "../../wgsl/sampling.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { GREEDY_BYTES, GREEDY_PARTS } from "./exact-greedy-parts.ts";

export const exactGreedy: Card<"partials" | "step" | "ids" | "results", Readonly<Record<never, never>>> = makeCard({
  name: "exact-greedy",
  wgsl: /* wgsl */ `
${stepWgsl}
@group(0) @binding(0) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> step: Step;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<vec2<u32>>;
const LANES = 64u;
${exactIntegers}${exactRowMax}${exactRowSum}
fn log2n(n: vec2<u32>) -> u32 { // of n ≥ 2^32, in units of 2^−24: the likeliest alone makes the sum 2^44
  let zeros = countLeadingZeros(n.y);
  var y = shl64(n, zeros).y;
  var log = 63u - zeros;
  for (var i = 0u; i < 24u; i++) {
    let square = mul64(y, y);
    let bit = square.y >> 31u;
    log = (log << 1u) | bit;
    y = select((square.y << 1u) | (square.x >> 31u), square.y, bit == 1u);
  }
  return log;
}
@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  let before = step;
  let mine = partials[lane];
  let id = 0xffffffffu - row_max(lane, mine.x);
  let total = row_sum(lane, mine.zw);
  if (lane > 0u) { return; }
  results[before.sampled] = vec2<u32>(id, log2n(total) - (44u << 24u));
  ids[0] = id;
  step.T = 1u;
  step.start = before.start + 1u;
  step.sampled = before.sampled + 1u;
}
`,
  workgroupBytes: rowMaxBytes(GREEDY_PARTS) + rowSumBytes(GREEDY_PARTS),
  call: () => ({ workgroups: () => [1, 1, 1] }),
  sizes: () => ({ partials: GREEDY_BYTES, ids: 4, results: RESULT_BYTES }),
});

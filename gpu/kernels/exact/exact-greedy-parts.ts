/**
 * The larger part of exact-greedy.ts's work, by 64 workgroups: each finds the largest of all logits [V] words, and of its share of them the lowest id that has
 * it and the exact sum of the weights in units of 2^−44: partials [64] = (2^32 − 1 − id or 0, 0, the sum, low word first).
 * Workgroup memory: 5 KiB. Limited by integer instructions, some 200 for each logit.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactOrder, exactPower } from "../../wgsl/exact.ts";
import { exactRowMax, exactRowSum, rowMaxBytes, rowSumBytes } from "../../wgsl/exact-row.ts";

/** Workgroups, each with a partial result. */
export const GREEDY_PARTS = 64;
export const GREEDY_BYTES: number = 16 * GREEDY_PARTS;

export const exactGreedyParts: Card<"logits" | "partials", Readonly<{ V: number }>> = makeCard({
  name: "exact-greedy-parts",
  wgsl: /* wgsl */ `
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> params: Params;
const PARTS = 64u;
const LANES = 256u;
const AT_ONCE = 16u;
${exactIntegers}${exactNumbers}${exactPower}${exactOrder}${exactRowMax}${exactRowSum}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // 1. The largest logit; a lane has AT_ONCE on their way together.
  var top = 0u;
  for (var from_id = lane; from_id < params.V; from_id += AT_ONCE * LANES) {
    for (var i = 0u; i < AT_ONCE; i++) { top = max(top, ordered(logits[min(from_id + i * LANES, params.V - 1u)])); }
  }
  let best = row_max(lane, top);
  let most = unordered(best);
  // 2. Weights of this workgroup's logits, and the lowest id that has it.
  var first = 0u; // 2^32 − 1 − the lowest id
  var sum = vec2<u32>(0u);
  for (var id = wg.x * LANES + lane; id < params.V; id += PARTS * LANES) {
    let logit = logits[id];
    if (ordered(logit) == best) { first = max(first, 0xffffffffu - id); }
    let D = distance(mulf(addf(most, negf(logit)), 0x3fb8aa3bu));
    let n = D >> 24u;
    let W = power(D & 0xffffffu);
    var w = vec2<u32>(W << 14u, W >> 18u);
    if (n > 31u) { w = vec2<u32>(w.y, 0u); }
    sum = add64(sum, vec2<u32>((w.x >> (n & 31u)) | ((w.y << 1u) << (31u - (n & 31u))), w.y >> (n & 31u)));
  }
  let all_first = row_max(lane, first);
  let total = row_sum(lane, sum);
  if (lane == 0u) { partials[wg.x] = vec4<u32>(all_first, 0u, total); }
}
`,
  workgroupBytes: rowMaxBytes(256) + rowSumBytes(256),
  call: ({ V }) => ({ params: { V }, workgroups: () => [GREEDY_PARTS, 1, 1] }),
  sizes: ({ V }) => ({ logits: 4 * V, partials: GREEDY_BYTES }),
});

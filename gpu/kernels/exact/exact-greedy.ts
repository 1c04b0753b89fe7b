/**
 * The likeliest id of `exact`, the lowest among equals, and its surprisal in units of 2^−24 bits (docs/exact.md); moves the sequence on by one token without the
 * host: results[sampled] = (id, surprisal), ids[0] = id, step becomes (1, start + 1, sampled + 1). logits [V] words.
 * One workgroup of 256: the largest word, the lowest id that has it, the exact sum of all weights in units of 2^−44, its logarithm bit by bit. Workgroup
 * memory: 3 KiB. Limited by integer instructions: some sixty for each logit, on one workgroup.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactOrder, exactPower, exactRowMax, exactRowSum } from "../../wgsl/exact.ts";
import { RESULT_BYTES } from "../../wgsl/sampling.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const exactGreedy: Card<"logits" | "step" | "ids" | "results", Readonly<{ V: number }>> = makeCard({
  name: "exact-greedy",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> step: Step;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<vec2<u32>>;
@group(0) @binding(4) var<uniform> params: Params;
const LANES = 256u;
${exactIntegers}${exactNumbers}${exactPower}${exactOrder}${exactRowMax}${exactRowSum}
fn log2n(n: vec2<u32>) -> u32 { // of n ≥ 1, in units of 2^−24
  let zeros = select(countLeadingZeros(n.y), 32u + countLeadingZeros(n.x), n.y == 0u);
  var y = select(shl64(n, zeros & 31u).y, n.x << (zeros & 31u), zeros >= 32u);
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
  var top = 0u;
  for (var i = lane; i < params.V; i += LANES) { top = max(top, ordered(logits[i])); }
  let best = row_max(lane, top);
  let most = unordered(best);
  var first = 0u; // 2^32 − 1 − the lowest id
  var sum = vec2<u32>(0u);
  for (var i = lane; i < params.V; i += LANES) {
    if (ordered(logits[i]) == best) { first = max(first, 0xffffffffu - i); }
    let D = distance(mulf(addf(most, negf(logits[i])), 0x3fb8aa3bu));
    let n = D >> 24u;
    let W = power(D & 0xffffffu);
    var w = vec2<u32>(W << 14u, W >> 18u);
    if (n > 31u) { w = vec2<u32>(w.y, 0u); }
    sum = add64(sum, vec2<u32>((w.x >> (n & 31u)) | ((w.y << 1u) << (31u - (n & 31u))), w.y >> (n & 31u)));
  }
  let id = 0xffffffffu - row_max(lane, first);
  let total = row_sum(lane, sum);
  if (lane > 0u) { return; }
  results[step.sampled] = vec2<u32>(id, log2n(total) - (44u << 24u));
  ids[0] = id;
  step.T = 1u;
  step.start += 1u;
  step.sampled += 1u;
}
`,
  workgroupBytes: 3072,
  call: ({ V }) => ({ params: { V }, workgroups: () => [1, 1, 1] }),
  sizes: ({ V }) => ({ logits: 4 * V, ids: 4, results: RESULT_BYTES }),
});

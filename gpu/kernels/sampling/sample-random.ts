/**
 * Second half of random sampling: min-p and the draw (steps 6 and 7 of docs/sampling.md) on `scores` [V], then the
 * bookkeeping of sample-greedy.ts. Twin of `candidates` and `draw` in core/sample/sampler.ts, with weights and sums in
 * f32. One workgroup of 256; the ids lie in 256 ranges, one an invocation, so that ties and running sums go by
 * ascending id. Workgroup memory 2 KiB. Limited by three passes over V scores, by one workgroup.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS, partialWgsl } from "../../wgsl/partial.ts";
import { BORDER_BYTES, borderWgsl, type LogitsShape, RESULT_BYTES, samplingWgsl, seenBytes, weightWgsl } from "../../wgsl/sampling.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { threefryWgsl } from "../../wgsl/threefry.ts";

export const sampleRandom: Card<
  "logits" | "scores" | "partials" | "sampling" | "border" | "step" | "ids" | "seen" | "results",
  LogitsShape
> = makeCard({
  name: "sample-random",
  wgsl: /* wgsl */ `
${stepWgsl}
${samplingWgsl}
${partialWgsl}
${borderWgsl}
struct Result { id: u32, logprob: f32 }
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> partials: array<Partial>;
@group(0) @binding(3) var<uniform> sampling: Sampling;
@group(0) @binding(4) var<storage, read> border: Border;
@group(0) @binding(5) var<storage, read_write> step: Step;
@group(0) @binding(6) var<storage, read_write> ids: array<u32>;
@group(0) @binding(7) var<storage, read_write> seen: array<u32>; // one bit an id
@group(0) @binding(8) var<storage, read_write> results: array<Result>;
@group(0) @binding(9) var<uniform> params: Params;
${threefryWgsl}

${weightWgsl}

const LANES = 256u;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> ties: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var all = NONE;
  for (var i = 0u; i < ${PARTIALS}u; i++) { all = join(all, partials[i]); }
  let most = all.score * sampling.inverseTemperature;
  let range = (params.V + LANES - 1u) / LANES;
  let first = min(lane * range, params.V);
  let end = min(first + range, params.V);
  var mine = 0u;
  for (var i = first; i < end; i++) { mine += u32(keyOf(scaled(i)) == border.key); }
  ties[lane] = mine;
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < lane; i++) { before += ties[i]; }
  var rank = before;
  var sum = 0.0;
  for (var i = first; i < end; i++) {
    let z = scaled(i);
    let key = keyOf(z);
    let stays = key > border.key || (key == border.key && rank < border.allowed);
    rank += u32(key == border.key);
    let weight = weigh(z, most);
    if (stays && weight >= sampling.minP) { sum += weight; }
  }
  sums[lane] = sum;
  workgroupBarrier();
  var below = 0.0;
  var total = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i < lane) { below += sums[i]; }
    total += sums[i];
  }
  let word = threefry(vec2(sampling.seedLow, sampling.seedHigh), vec2(step.start + 1u, 0u)).x;
  let goal = f32(word >> 8u) * 0x1p-24f * total;
  storageBarrier(); // every lane has read step before one of them moves it on
  if (below > goal || below + sum <= goal) { return; } // u is below 1, hence goal below total: one range is left
  var chosen = 0u;
  rank = before;
  for (var id = first; id < end; id++) {
    let z = scaled(id);
    let key = keyOf(z);
    let stays = key > border.key || (key == border.key && rank < border.allowed);
    rank += u32(key == border.key);
    let weight = weigh(z, most);
    if (stays && weight >= sampling.minP) {
      chosen = id;
      below += weight;
      if (below > goal) { break; }
    }
  }
  results[step.sampled] = Result(chosen, logits[chosen] - all.logit - log(all.sum));
  ids[0] = chosen;
  seen[chosen / 32u] |= 1u << (chosen % 32u);
  step.T = 1u;
  step.start += 1u;
  step.sampled += 1u;
}
`,
  workgroupBytes: 2 * 4 * 256,
  call: ({ V }) => ({ params: { V }, workgroups: () => [1, 1, 1] }),
  sizes: ({ V }) => ({
    logits: 4 * V,
    scores: 4 * V,
    partials: PARTIALS * PARTIAL_BYTES,
    border: BORDER_BYTES,
    ids: 4,
    seen: seenBytes(V),
    results: RESULT_BYTES,
  }),
});

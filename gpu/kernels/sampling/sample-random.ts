/**
 * Second half of random sampling: min-p and the draw (steps 6 and 7 of docs/sampling.md) on each row of `scores` [T, V], then the
 * bookkeeping of sample-greedy.ts. Twin of `candidates` and `draw` in core/sample/sampler.ts, with weights and sums in
 * f32. One workgroup of 256 per row; the ids lie in 256 ranges, one an invocation, so that ties and running sums go by
 * ascending id. Workgroup memory 2 KiB. Limited by three passes over V scores, by one workgroup.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS, partialWgsl } from "../../wgsl/partial.ts";
import {
  BORDER_BYTES,
  borderWgsl,
  type LogitsShape,
  RESULT_BYTES,
  samplingBindingWgsl,
  samplingWgsl,
  seenBytes,
  weightWgsl,
} from "../../wgsl/sampling.ts";
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
@group(0) @binding(3) ${samplingBindingWgsl}
@group(0) @binding(4) var<storage, read> border: array<Border>;
@group(0) @binding(5) var<storage, read_write> step: array<Step>;
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
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  row = workgroup.x;
  let options = sampling[workgroup.x];
  let edge = border[row];
  var all = NONE;
  for (var i = 0u; i < ${PARTIALS}u; i++) { all = join(all, partials[row * ${PARTIALS}u + i]); }
  let most = all.score * options.inverseTemperature;
  let range = (params.V + LANES - 1u) / LANES;
  let first = min(lane * range, params.V);
  let end = min(first + range, params.V);
  var mine = 0u;
  for (var i = first; i < end; i++) { mine += u32(keyOf(scaled(i)) == edge.key); }
  ties[lane] = mine;
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < lane; i++) { before += ties[i]; }
  var rank = before;
  var sum = 0.0;
  for (var i = first; i < end; i++) {
    let z = scaled(i);
    let key = keyOf(z);
    let stays = key > edge.key || (key == edge.key && rank < edge.allowed);
    rank += u32(key == edge.key);
    let weight = weigh(z, most);
    if (stays && weight >= options.minP) { sum += weight; }
  }
  sums[lane] = sum;
  workgroupBarrier();
  var below = 0.0;
  var total = 0.0;
  for (var i = 0u; i < LANES; i++) {
    if (i < lane) { below += sums[i]; }
    total += sums[i];
  }
  let word = threefry(vec2(options.seedLow, options.seedHigh), vec2(step[row].start + 1u, 0u)).x;
  let goal = f32(word >> 8u) * 0x1p-24f * total;
  storageBarrier(); // every lane has read step before one of them moves it on
  if (below > goal || below + sum <= goal) { return; } // u is below 1, hence goal below total: one range is left
  var chosen = 0u;
  rank = before;
  for (var id = first; id < end; id++) {
    let z = scaled(id);
    let key = keyOf(z);
    let stays = key > edge.key || (key == edge.key && rank < edge.allowed);
    rank += u32(key == edge.key);
    let weight = weigh(z, most);
    if (stays && weight >= options.minP) {
      chosen = id;
      below += weight;
      if (below > goal) { break; }
    }
  }
  results[step[row].sampled * workgroups.x + row] = Result(chosen, logits[row * params.V + chosen] - all.logit - log(all.sum));
  ids[row] = chosen;
  seen[row * ((params.V + 31u) / 32u) + chosen / 32u] |= 1u << (chosen % 32u);
  step[row].T = 1u;
  step[row].start += 1u;
  step[row].sampled += 1u;
}
`,
  workgroupBytes: 2 * 4 * 256,
  call: ({ V }) => ({ params: { V }, workgroups: (T) => [T, 1, 1] }),
  sizes: ({ V }, T) => ({
    logits: 4 * T * V,
    scores: 4 * T * V,
    partials: T * PARTIALS * PARTIAL_BYTES,
    border: T * BORDER_BYTES,
    ids: 4 * T,
    seen: T * seenBytes(V),
    results: T * RESULT_BYTES,
  }),
});

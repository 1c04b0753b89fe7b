/**
 * First half of greedy sampling and of log-probabilities, over each row of logits [T, V] f32: workgroup i of 64 takes every 64th block
 * of 256 and gives (largest score, its lowest id, largest logit, Σ exp(logit − largest)). `scores` are the logits, or
 * their penalized copy. A tree in workgroup memory (4 KiB) joins the lanes. Second half: sample-greedy.ts,
 * sample-random.ts. NaN never wins. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS, partialWgsl } from "../../wgsl/partial.ts";
import type { LogitsShape } from "../../wgsl/sampling.ts";

export const logitsPartials: Card<"logits" | "scores" | "partials", LogitsShape> = makeCard({
  name: "logits-partials",
  wgsl: /* wgsl */ `
struct Params { V: u32 }
${partialWgsl}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<Partial>;
@group(0) @binding(3) var<uniform> params: Params;

const LANES = 256u;
var<workgroup> best: array<Partial, LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = workgroup.y * params.V;
  var mine = NONE;
  for (var i = workgroup.x * LANES + lane; i < params.V; i += workgroups.x * LANES) {
    let logit = logits[first + i];
    mine.logit = max(mine.logit, logit);
    if (scores[first + i] > mine.score) { mine.score = scores[first + i]; mine.id = i; }
  }
  for (var i = workgroup.x * LANES + lane; i < params.V; i += workgroups.x * LANES) {
    mine.sum += exp(max(logits[first + i] - mine.logit, -200.0));
  }
  best[lane] = mine;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { best[lane] = join(best[lane], best[lane + width]); }
  }
  let all = workgroupUniformLoad(&best[0]);
  if (lane == 0u) { partials[workgroup.y * ${PARTIALS}u + workgroup.x] = all; }
}
`,
  workgroupBytes: 256 * PARTIAL_BYTES,
  call: ({ V }) => ({ params: { V }, workgroups: (T) => [PARTIALS, T, 1] }),
  sizes: ({ V }, T) => ({ logits: 4 * T * V, scores: 4 * T * V, partials: T * PARTIALS * PARTIAL_BYTES }),
});

/**
 * Second half of greedy sampling: joins the partials of logits-partials.ts, and moves the sequence of each of T rows on by one token
 * without the host: results[sampled, t] = (id, log p[id]), ids[t] = id, the id's bit in `seen` is set, step[t] becomes (1,
 * start + 1, sampled + 1). Twin of argmax and logProbability in core/sample/sampler.ts. One workgroup of 64 per row; workgroup
 * memory 1 KiB.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS, partialWgsl } from "../../wgsl/partial.ts";
import { type LogitsShape, RESULT_BYTES, seenBytes } from "../../wgsl/sampling.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const sampleGreedy: Card<"logits" | "partials" | "step" | "ids" | "seen" | "results", LogitsShape> = makeCard({
  name: "sample-greedy",
  wgsl: /* wgsl */ `
${stepWgsl}
${partialWgsl}
struct Result { id: u32, logprob: f32 }
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> partials: array<Partial>;
@group(0) @binding(2) var<storage, read_write> step: array<Step>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> seen: array<u32>; // one bit an id
@group(0) @binding(5) var<storage, read_write> results: array<Result>;
@group(0) @binding(6) var<uniform> params: Params;

const LANES = 64u;
var<workgroup> best: array<Partial, LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = workgroup.x;
  best[lane] = partials[t * LANES + lane];
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { best[lane] = join(best[lane], best[lane + width]); }
  }
  if (lane > 0u) { return; }
  let total = best[0];
  var id = total.id;
  if (id == 0xffffffffu) { id = 0u; }
  results[step[t].sampled * workgroups.x + t] = Result(id, logits[t * params.V + id] - total.logit - log(total.sum));
  ids[t] = id;
  seen[t * ((params.V + 31u) / 32u) + id / 32u] |= 1u << (id % 32u);
  step[t].T = 1u;
  step[t].start += 1u;
  step[t].sampled += 1u;
}
`,
  workgroupBytes: 64 * PARTIAL_BYTES,
  call: ({ V }) => ({ params: { V }, workgroups: (T) => [T, 1, 1] }),
  sizes: ({ V }, T) => ({
    logits: 4 * T * V,
    partials: T * PARTIALS * PARTIAL_BYTES,
    ids: 4 * T,
    seen: T * seenBytes(V),
    results: T * RESULT_BYTES,
  }),
});

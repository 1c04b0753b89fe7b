/**
 * scores[i] = logits[i] · f32(1/penalty) where logits[i] > 0, logits[i] · f32(penalty) elsewhere, for ids in `seen`;
 * logits[i] for the others; [V] f32, each row with its own. Twin of penalize in core/sample/sampler.ts. One invocation per id, a loop beyond
 * 65535 workgroups.
 */
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { type LogitsShape, samplingBindingWgsl, samplingWgsl, seenBytes } from "../../wgsl/sampling.ts";

export const penalize: Card<"logits" | "seen" | "sampling" | "scores", LogitsShape> = makeCard({
  name: "penalize",
  wgsl: /* wgsl */ `
struct Params { V: u32 }
${samplingWgsl}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> seen: array<u32>; // one bit an id
@group(0) @binding(2) ${samplingBindingWgsl}
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  let row = global.y;
  let words = row * ((params.V + 31u) / 32u);
  for (var i = global.x; i < params.V; i += workgroups.x * WORKGROUP) {
    let logit = logits[row * params.V + i];
    var factor = 1.0;
    if (((seen[words + i / 32u] >> (i % 32u)) & 1u) == 1u) { factor = select(sampling[row].penaltyUp, sampling[row].penaltyDown, logit > 0.0); }
    scores[row * params.V + i] = logit * factor;
  }
}
`,
  call: ({ V }) => ({ params: { V }, workgroups: (T) => [workgroupsFor(V, 256), T, 1] }),
  sizes: ({ V }, T) => ({ logits: 4 * T * V, seen: T * seenBytes(V), scores: 4 * T * V }),
});

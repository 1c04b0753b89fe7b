/**
 * scores[i] = logits[i] · f32(1/penalty) where logits[i] > 0, logits[i] · f32(penalty) elsewhere, for ids in `seen`; logits[i] for
 * the others; [V] f32. Twin of penalize in core/sample/sampler.ts. One invocation an id, a loop beyond 65535 workgroups.
 */
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record } from "../../pipeline/recorder.ts";
import { samplingWgsl } from "../../wgsl/sampling.ts";

export const penalize: Kernel<"logits" | "seen" | "sampling" | "scores", "V"> = {
  name: "penalize",
  bindings: { logits: "read", seen: "read", sampling: "uniform", scores: "readWrite" },
  params: { V: "u32" },
  wgsl: /* wgsl */ `
struct Params { V: u32 }
${samplingWgsl}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> seen: array<u32>; // one bit an id
@group(0) @binding(2) var<uniform> sampling: Sampling;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  for (var i = global.x; i < params.V; i += workgroups.x * WORKGROUP) {
    let logit = logits[i];
    var factor = 1.0;
    if (((seen[i / 32u] >> (i % 32u)) & 1u) == 1u) { factor = select(sampling.penaltyUp, sampling.penaltyDown, logit > 0.0); }
    scores[i] = logit * factor;
  }
}
`,
};

/** logits, scores [V] f32; seen [V/32]; sampling: gpu/wgsl/sampling.ts. */
export function recordPenalize(
  recorder: Recorder,
  buffers: { logits: BufferArg; seen: BufferArg; sampling: BufferArg; scores: BufferArg },
  params: { V: number },
): void {
  record(recorder, { kernel: penalize, buffers, params, workgroups: () => [Math.min(Math.ceil(params.V / 256), 65535), 1, 1] });
}

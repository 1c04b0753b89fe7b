/**
 * gate[i] = gate[i] / (1 + exp(−gate[i])) · up[i] for i < T · width, f32, in place. Twin of core/ops/silu-mul.ts.
 * The exponential is taken of −|gate|, so that nothing overflows. One invocation per element, a loop beyond 65535
 * workgroups. Limited by latency.
 */
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const siluMul: Card<"step" | "gate" | "up", { readonly width: number }> = makeCard({
  name: "silu-mul",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { width: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  for (var i = global.x; i < step.T * params.width; i += workgroups.x * WORKGROUP) {
    let g = gate[i];
    let e = exp(-abs(g));
    let sigmoid = select(e, 1.0, g >= 0.0) / (1.0 + e);
    gate[i] = g * sigmoid * up[i];
  }
}
`,
  call: ({ width }) => ({ params: { width }, workgroups: (T) => [workgroupsFor(T * width, 256), 1, 1] }),
  sizes: ({ width }, T) => ({ gate: 4 * T * width, up: 4 * T * width }),
});

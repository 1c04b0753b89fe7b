/**
 * x[i] = x[i] + y[i] for i < T · width, f32, in place: the residual addition. Twin of core/ops/add.ts.
 * One invocation per element, a loop beyond 65535 workgroups. Limited by latency.
 */
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const add: Card<"step" | "x" | "y", { readonly width: number }> = makeCard({
  name: "add",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { width: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  for (var i = global.x; i < step.T * params.width; i += workgroups.x * WORKGROUP) { x[i] += y[i]; }
}
`,
  call: ({ width }) => ({ params: { width }, workgroups: (T) => [workgroupsFor(T * width, 256), 1, 1] }),
  sizes: ({ width }, T) => ({ x: 4 * T * width, y: 4 * T * width }),
});

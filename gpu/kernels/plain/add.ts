/**
 * x[i] = x[i] + y[i] for i < T · width, f32, in place: the residual addition. Twin of core/ops/add.ts.
 * One invocation an element, a loop beyond 65535 workgroups. Limited by latency.
 */
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record } from "../../pipeline/recorder.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const add: Kernel<"step" | "x" | "y", "width"> = {
  name: "add",
  bindings: { step: "uniform", x: "readWrite", y: "read" },
  params: { width: "u32" },
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
};

/** x, y [T, width] f32. */
export function recordAdd(
  recorder: Recorder,
  buffers: { step: BufferArg; x: BufferArg; y: BufferArg },
  params: { width: number },
  label: string = add.name,
): void {
  record(recorder, {
    kernel: add,
    buffers,
    params,
    workgroups: (T) => [Math.min(Math.ceil((T * params.width) / 256), 65535), 1, 1],
    label,
  });
}

/**
 * x[t, h, i]        = x[t, h, i] · cos − x[t, h, i + Hd/2] · sin
 * x[t, h, i + Hd/2] = x[t, h, i + Hd/2] · cos + x[t, h, i] · sin    at position start + t; x [T, heads, Hd] f32, in place.
 * Twin of core/ops/rope.ts: cos and sin come from its f64 table, rounded once to f32, for every scaling; none is computed here.
 * One invocation a pair. Limited by latency.
 */
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record } from "../../pipeline/recorder.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const rope: Kernel<"step" | "table" | "x", "heads" | "halfDim"> = {
  name: "rope",
  bindings: { step: "uniform", table: "read", x: "readWrite" },
  params: { heads: "u32", halfDim: "u32" },
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { heads: u32, halfDim: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> table: array<vec2<f32>>; // cos, sin [positions, Hd/2]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const WORKGROUP = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let pair = workgroup.x * WORKGROUP + lane;
  if (pair >= params.heads * params.halfDim) { return; }
  let t = workgroup.y;
  let h = pair / params.halfDim;
  let i = pair % params.halfDim;
  let turn = table[(step.start + t) * params.halfDim + i];
  let first = (t * params.heads + h) * params.halfDim * 2u + i;
  let a = x[first];
  let b = x[first + params.halfDim];
  x[first] = a * turn.x - b * turn.y;
  x[first + params.halfDim] = b * turn.x + a * turn.y;
}
`,
};

/** table [positions, Hd/2] of (cos, sin); x [T, heads, Hd]; f32. */
export function recordRope(
  recorder: Recorder,
  buffers: { step: BufferArg; table: BufferArg; x: BufferArg },
  params: { heads: number; halfDim: number },
  label: string = rope.name,
): void {
  record(recorder, { kernel: rope, buffers, params, workgroups: (T) => [Math.ceil((params.heads * params.halfDim) / 64), T, 1], label });
}

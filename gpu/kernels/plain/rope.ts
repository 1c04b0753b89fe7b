/**
 * x[t, h, i]        = x[t, h, i] · cos − x[t, h, i + Hd/2] · sin
 * x[t, h, i + Hd/2] = x[t, h, i + Hd/2] · cos + x[t, h, i] · sin    at position start + t; x [T, heads, Hd] f32, in
 * place. Twin of core/ops/rope.ts: cos and sin come from its f64 table, rounded once to f32, for every scaling; none is
 * computed here. One invocation per pair. Limited by latency.
 */
import type { RopeTables } from "../../../core/ops/rope.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** The table of (cos, sin), from core's. */
export function ropeTable({ cos, sin }: Pick<RopeTables, "cos" | "sin">): Float32Array<ArrayBuffer> {
  const table = new Float32Array(2 * cos.length);
  for (let i = 0; i < cos.length; i++) {
    table[2 * i] = cos[i]!;
    table[2 * i + 1] = sin[i]!;
  }
  return table;
}

export const rope: Card<"step" | "table" | "x", { readonly heads: number; readonly halfDim: number }> = makeCard({
  name: "rope",
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
  call: ({ heads, halfDim }) => ({ params: { heads, halfDim }, workgroups: (T) => [Math.ceil((heads * halfDim) / 64), T, 1] }),
  sizes: ({ heads, halfDim }, T, start) => ({ table: 8 * (start + T) * halfDim, x: 8 * T * heads * halfDim }),
});

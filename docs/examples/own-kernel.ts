/**
 * A kernel of your own, told once: RMS norm by one workgroup of 64 per row, four numbers at a time. Both commands take
 * this file, and show the kernel beside gureum's own:
 *
 *     gureum conformance --with own-kernel.ts
 *     gureum bench kernels --with own-kernel.ts --shape tinyllama-1.1b --rows 1,16
 */
import type { OwnKernel } from "gureum/conformance";

const wgsl = /* wgsl */ `
struct Params { D: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let quads = params.D / 4u;
  let row = workgroup.x * quads;
  var sum = 0.0;
  for (var i = lane; i < quads; i += 64u) { sum += dot(x[row + i], x[row + i]); }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(sums[0] / f32(params.D) + params.eps);
  for (var i = lane; i < quads; i += 64u) { out[row + i] = x[row + i] * scale * weight[i]; }
}
`;

const kernel: OwnKernel = {
  name: "my-rms-norm",
  op: "rms-norm",
  wgsl,
  accepts: ({ D }) => Number(D) % 4 === 0,
  workgroups: ({ T }) => [T, 1, 1],
};
export default kernel;

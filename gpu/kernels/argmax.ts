/**
 * The greedy choice: id = argmax logits, the lowest id among equals, from the head's best of each workgroup (head-f16.ts).
 * ids[count] = id; state (position, count) + 1. Work: one workgroup of 256. Limit: latency.
 */
export const argmaxWgsl: string = /* wgsl */ `
override COUNT: u32;

@group(0) @binding(0) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> state: vec4<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
var<workgroup> values: array<f32, 256>;
var<workgroup> owners: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) tid: u32) {
  var value = -3.4e38;
  var id = 0xffffffffu;
  for (var i = tid; i < COUNT; i += 256u) {
    let v = bitcast<f32>(best[i].x);
    if (v > value || (v == value && best[i].y < id)) { value = v; id = best[i].y; }
  }
  values[tid] = value;
  owners[tid] = id;
  workgroupBarrier();
  for (var s = 128u; s > 0u; s >>= 1u) {
    if (tid < s) {
      let v = values[tid + s];
      if (v > values[tid] || (v == values[tid] && owners[tid + s] < owners[tid])) { values[tid] = v; owners[tid] = owners[tid + s]; }
    }
    workgroupBarrier();
  }
  if (tid == 0u) {
    ids[state.y] = owners[0];
    state = vec4<u32>(state.x + 1u, state.y + 1u, state.z, state.w);
  }
}
`;

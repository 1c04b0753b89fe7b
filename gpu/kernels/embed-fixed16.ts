/**
 * residual = embedding[ids[count − 1]] (f16 rows [V, K]), in planes as norm is (wgsl/fixed16.ts); and the digits of residual ∘ norm with
 * Σ residual² a block, as awq-add-fixed16.ts leaves them. Work: eight threads a block of 32, 32 blocks a workgroup. Limit: latency.
 */
import { fixed16Quantize } from "../wgsl/fixed16.ts";

export const embedFixed16Wgsl: string = /* wgsl */ `
override K: u32;
override BLOCKS: u32 = K / 32u;

@group(0) @binding(0) var<storage, read> embedding: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out_digits: array<u32>;
@group(0) @binding(5) var<storage, read_write> out_blocks: array<vec4<u32>>;
@group(0) @binding(6) var<uniform> state: vec4<u32>;
var<workgroup> largest: array<u32, 256>;
var<workgroup> sums: array<i32, 256>;
var<workgroup> squares: array<f32, 256>;
${fixed16Quantize}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = min(wg.x * 256u + tid, K / 4u - 1u);
  let alive = wg.x * 256u + tid < K / 4u;
  let plane = (i & 7u) * BLOCKS + (i >> 3u);
  let e = embedding[ids[state.y - 1u] * (K / 4u) + i];
  let x = vec4<f32>(unpack2x16float(e.x), unpack2x16float(e.y));
  let scaled = x * norm[plane];
  largest[tid] = abs_bits(scaled);
  workgroupBarrier();
  let first = tid & 0xf8u;
  var big = 0u;
  for (var j = 0u; j < 8u; j++) { big = max(big, largest[first + j]); }
  let v = quantize(scaled, big);
  sums[tid] = (v.x + v.y) + (v.z + v.w);
  squares[tid] = dot(x, x);
  if (alive) {
    residual[plane] = x;
    let at = 4u * (((i & 7u) >> 2u) * BLOCKS + i / 8u) + (i & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + 8u * BLOCKS] = pack_bytes(v);
  }
  workgroupBarrier();
  if (alive && tid == first) {
    var sum = 0;
    var square = 0.0;
    for (var j = 0u; j < 8u; j++) { sum += sums[tid + j]; square += squares[tid + j]; }
    out_blocks[i / 8u] = vec4<u32>(block_scale(big), bitcast<u32>(sum), bitcast<u32>(square), 0u);
  }
}
`;

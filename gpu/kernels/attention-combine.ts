/**
 * Joins the splits of attention-decode.ts: out[h] = Σ_i e^(m_i − m) acc_i[h] / Σ_i e^(m_i − m) l_i, and leaves digits for o_proj.
 * partial [splits, H, HEAD], stats [splits, H] (m, l); out: digits and blocks of H · HEAD values (core/quant/fixed16.ts).
 * Work: a workgroup a head, a thread a dimension, splits in ascending order. Limit: latency; splits · H · HEAD · 4 bytes from the cache.
 */
import { fixed16Quantize } from "../wgsl/fixed16.ts";

export const attentionCombineWgsl: string = /* wgsl */ `
override H: u32;
override HEAD: u32;
override S: u32;

@group(0) @binding(0) var<storage, read> partial_: array<f32>;
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> out_digits: array<u32>;
@group(0) @binding(3) var<storage, read_write> out_blocks: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> state: vec4<u32>;
var<workgroup> factor: array<f32, (S + 31) / 32>;
var<workgroup> mass: array<f32, (S + 31) / 32>;
var<workgroup> maxima: array<f32, HEAD>;
var<workgroup> joined: array<f32, HEAD>;
var<workgroup> values: array<vec4<i32>, HEAD / 4>;
${fixed16Quantize}
@compute @workgroup_size(HEAD)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) d: u32) {
  let splits = state.x / 32u + 1u;
  var m = -3e38;
  for (var i = d; i < splits; i += HEAD) { m = max(m, stats[i * H + wg.x].x); }
  maxima[d] = m;
  workgroupBarrier();
  for (var i = 0u; i < min(HEAD, splits); i++) { m = max(m, maxima[i]); }
  for (var i = d; i < splits; i += HEAD) {
    let s = stats[i * H + wg.x];
    let f = exp(s.x - m);
    factor[i] = f;
    mass[i] = f * s.y;
  }
  workgroupBarrier();
  var x = 0.0;
  var l = 0.0;
  for (var i = 0u; i < splits; i++) {
    x += factor[i] * partial_[(i * H + wg.x) * HEAD + d];
    l += mass[i];
  }
  joined[d] = x / l;
  workgroupBarrier();
  let first = d / 8u * 32u;
  var big = 0u;
  if (d < HEAD / 4u) {
    for (var i = 0u; i < 32u; i++) { big = max(big, bitcast<u32>(joined[first + i]) & 0x7fffffffu); }
    let v = quantize(vec4<f32>(joined[4u * d], joined[4u * d + 1u], joined[4u * d + 2u], joined[4u * d + 3u]), big);
    values[d] = v;
    let block = wg.x * (HEAD / 32u) + d / 8u;
    let at = 4u * (((d & 7u) >> 2u) * (H * (HEAD / 32u)) + block) + (d & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + H * (HEAD / 4u)] = pack_bytes(v);
  }
  workgroupBarrier();
  if (d < HEAD / 4u && d % 8u == 0u) {
    var s = vec4<i32>(0);
    for (var i = 0u; i < 8u; i++) { s += values[d + i]; }
    out_blocks[wg.x * (HEAD / 32u) + d / 8u] = vec4<u32>(block_scale(big), bitcast<u32>(s.x + s.y + s.z + s.w), 0u, 0u);
  }
}
`;

/**
 * Joins the splits of attention-decode.ts where they are many: x[h] = Σ_i e^(m_i − m) acc_i[h] / Σ_i e^(m_i − m) l_i, as one split for
 * awq-o-add-fixed16.ts. partial [splits, H · HEAD] in planes, stats [splits, H] (m, l); joined [H · HEAD] in planes, with l = 1.
 * Work: a workgroup a head; HEAD / 4 threads a split, PARTS splits at a time, summed in fixed order. HEAD % 32 = 0, HEAD ≤ 256.
 * Limit: latency; splits · H · HEAD · 4 bytes from the cache.
 */
export const attentionCombineWgsl: string = /* wgsl */ `
override H: u32;
override HEAD: u32;
override S: u32;
override WIDTH: u32 = HEAD / 4u;
override PARTS: u32 = 256u / WIDTH;
override BLOCKS: u32 = H * HEAD / 32u;

@group(0) @binding(0) var<storage, read> partial_: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> joined: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> joined_stats: array<vec2<f32>>;
@group(0) @binding(4) var<uniform> state: vec4<u32>;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> factor: array<f32, (S + 31) / 32>;
var<workgroup> mass: array<f32, 256>;
var<workgroup> sums: array<vec4<f32>, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let splits = state.x / 32u + 1u;
  var m = -3e38;
  for (var i = tid; i < splits; i += 256u) { m = max(m, stats[i * H + wg.x].x); }
  maxima[tid] = m;
  workgroupBarrier();
  for (var i = 0u; i < min(256u, splits); i++) { m = max(m, maxima[i]); }
  var l = 0.0;
  for (var i = tid; i < splits; i += 256u) {
    let s = stats[i * H + wg.x];
    let f = exp(s.x - m);
    factor[i] = f;
    l += f * s.y;
  }
  mass[tid] = l;
  workgroupBarrier();
  let part = tid / WIDTH;
  let t = tid % WIDTH;
  let at = (t & 7u) * BLOCKS + wg.x * (HEAD / 32u) + (t >> 3u);
  var x = vec4<f32>(0.0);
  for (var i = part; i < splits; i += PARTS) { x += factor[i] * partial_[i * (8u * BLOCKS) + at]; }
  sums[tid] = x;
  workgroupBarrier();
  if (tid < WIDTH) {
    for (var p = 1u; p < PARTS; p++) { x += sums[p * WIDTH + tid]; }
    var total = 0.0;
    for (var i = 0u; i < min(256u, splits); i++) { total += mass[i]; }
    joined[at] = x / total;
    if (tid == 0u) { joined_stats[wg.x] = vec2<f32>(0.0, 1.0); }
  }
}
`;

/**
 * out[h, d] = Σ_s softmax_s(q[h] · k[s] / √HEAD) v[s, d] for one query at `position`, over the f16 cache, KEYS keys a workgroup.
 * q [H, HEAD] f32, rotated; k_cache, v_cache [G, S, HEAD] f16; state.x the position; up to four heads that share a kv head together.
 * SPLIT false (position < KEYS): out [H · HEAD] f32 in planes (wgsl/fixed16.ts). SPLIT true: the same unnormalized for each split
 * [splits, H · HEAD], and stats [splits, H] = (largest score, Σ exp), for attention-combine.ts; splits = position / KEYS + 1.
 * A key at s counts where position − WINDOW < s ≤ position. HEAD 64 or 128; KEYS a multiple of 32, at most 256.
 * Work: four threads a key for the scores (a quarter of HEAD each), then HEAD / 8 threads a value row, PARTS rows at once; sums in fixed
 * order. Workgroup memory at HEAD = 128, KEYS = 128: 30 KB. Limit: latency below 1,000 keys, then memory (S · G · HEAD · 4 bytes).
 */
export const attentionDecodeWgsl: string = /* wgsl */ `
override H: u32;
override G: u32;
override HEAD: u32;
override S: u32;
override WINDOW: u32 = 0xffffffffu;
override PER_KV: u32 = H / G;
override LANES: u32 = HEAD / 8u;
override KEYS: u32 = 128u;
override SPLIT: bool;
override THREADS: u32 = 4u * KEYS;
override PARTS: u32 = THREADS / LANES;
override SLOTS: u32 = 1024u / HEAD;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> state: vec4<u32>;
var<workgroup> query: array<vec4<f32>, 9 * LANES>;
var<workgroup> dots: array<vec4<f32>, THREADS>;
var<workgroup> weight: array<vec4<f32>, KEYS>;
var<workgroup> fold: array<vec4<f32>, 16>;
var<workgroup> sums: array<vec4<f32>, SLOTS * 8 * (LANES + 1)>;
fn dot_octet(k: vec4<u32>, at: u32) -> vec4<f32> {
  let a = unpack2x16float(k.x); let b = unpack2x16float(k.y); let c = unpack2x16float(k.z); let e = unpack2x16float(k.w);
  return a.x * query[at] + a.y * query[at + 1u] + b.x * query[at + 2u] + b.y * query[at + 3u]
       + c.x * query[at + 4u] + c.y * query[at + 5u] + e.x * query[at + 6u] + e.y * query[at + 7u];
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let quads = (PER_KV + 3u) / 4u;
  let kv = wg.x / quads;
  let head0 = kv * PER_KV + (wg.x % quads) * 4u;
  let heads = min(4u, PER_KV - (wg.x % quads) * 4u);
  let position = state.x;
  let first = wg.y * KEYS;
  let count = min(KEYS, position + 1u - min(position + 1u, first));
  let quarter = tid & 3u;
  let key = min(first + (tid >> 2u), position);
  var k: array<vec4<u32>, 8>;
  for (var c = 0u; c < LANES / 4u; c++) { k[c] = k_cache[(kv * S + key) * LANES + 4u * c + quarter]; }
  for (var d = tid; d < HEAD; d += THREADS) {
    var x = vec4<f32>(q[head0 * HEAD + d], 0.0, 0.0, 0.0);
    if (heads > 1u) { x.y = q[(head0 + 1u) * HEAD + d]; }
    if (heads > 2u) { x.z = q[(head0 + 2u) * HEAD + d]; }
    if (heads > 3u) { x.w = q[(head0 + 3u) * HEAD + d]; }
    query[d + d / 8u] = x * inverseSqrt(f32(HEAD));
  }
  workgroupBarrier();
  var score = vec4<f32>(0.0);
  for (var c = 0u; c < LANES / 4u; c++) { score += dot_octet(k[c], 9u * (4u * c + quarter)); }
  dots[tid] = score;
  let part = tid / LANES;
  let octet = tid % LANES;
  workgroupBarrier();
  if (tid < KEYS) {
    let s = first + tid;
    let alive = s <= position && position - s < WINDOW;
    weight[tid] = select(vec4<f32>(-3e38), (dots[4u * tid] + dots[4u * tid + 1u]) + (dots[4u * tid + 2u] + dots[4u * tid + 3u]), alive);
  }
  workgroupBarrier();
  if (tid < 16u) {
    var m = weight[tid];
    for (var i = tid + 16u; i < KEYS; i += 16u) { m = max(m, weight[i]); }
    fold[tid] = m;
  }
  workgroupBarrier();
  var largest = fold[0];
  for (var i = 1u; i < 16u; i++) { largest = max(largest, fold[i]); }
  if (tid < KEYS) { weight[tid] = select(vec4<f32>(0.0), exp(weight[tid] - largest), weight[tid] > vec4<f32>(-3e38)); }
  workgroupBarrier();
  var s0 = vec4<f32>(0.0); var s1 = s0; var s2 = s0; var s3 = s0; var s4 = s0; var s5 = s0; var s6 = s0; var s7 = s0;
  var total = vec4<f32>(0.0);
  for (var i = part; i < count; i += PARTS) {
    let v = v_cache[(kv * S + first + i) * LANES + octet];
    let w = weight[i];
    let a = unpack2x16float(v.x); let b = unpack2x16float(v.y); let c = unpack2x16float(v.z); let e = unpack2x16float(v.w);
    s0 += a.x * w; s1 += a.y * w; s2 += b.x * w; s3 += b.y * w; s4 += c.x * w; s5 += c.y * w; s6 += e.x * w; s7 += e.y * w;
    total += w;
  }
  let at = (part % SLOTS) * 8u * (LANES + 1u) + octet;
  if (octet == 0u) { dots[part] = total; }
  for (var round_ = 0u; round_ < PARTS / SLOTS; round_++) {
    if (part / SLOTS == round_) {
      if (round_ > 0u) {
        s0 += sums[at]; s1 += sums[at + LANES + 1u]; s2 += sums[at + 2u * (LANES + 1u)]; s3 += sums[at + 3u * (LANES + 1u)];
        s4 += sums[at + 4u * (LANES + 1u)]; s5 += sums[at + 5u * (LANES + 1u)]; s6 += sums[at + 6u * (LANES + 1u)]; s7 += sums[at + 7u * (LANES + 1u)];
      }
      sums[at] = s0; sums[at + LANES + 1u] = s1; sums[at + 2u * (LANES + 1u)] = s2; sums[at + 3u * (LANES + 1u)] = s3;
      sums[at + 4u * (LANES + 1u)] = s4; sums[at + 5u * (LANES + 1u)] = s5; sums[at + 6u * (LANES + 1u)] = s6; sums[at + 7u * (LANES + 1u)] = s7;
    }
    workgroupBarrier();
  }
  var l = dots[0];
  for (var p = 1u; p < PARTS; p++) { l += dots[p]; }
  for (var d = tid; d < HEAD; d += THREADS) {
    let from_ = (d & 7u) * (LANES + 1u) + (d >> 3u);
    var x = sums[from_];
    for (var p = 1u; p < SLOTS; p++) { x += sums[p * 8u * (LANES + 1u) + from_]; }
    if (!SPLIT) { x /= l; }
    for (var h = 0u; h < heads; h++) {
      let k = (head0 + h) * HEAD + d;
      out[wg.y * H * HEAD + 4u * (((k & 31u) >> 2u) * (H * HEAD / 32u) + (k >> 5u)) + (k & 3u)] = x[h];
    }
  }
  if (SPLIT && tid < heads) { stats[wg.y * H + head0 + tid] = vec2<f32>(largest[tid], l[tid]); }
}
`;

/**
 * The row-wise steps of prefill around the matrix products, over T rows, f32 in, f16 out where a product follows.
 * f16 rows keep each eight values in the order 0 2 4 6 1 3 5 7 (awq-prefill-f16-matrix.ts). Rounding to f16: one, by pack2x16float.
 * Limit of each: memory, a few percent of the products' time.
 */

const eightToHalves = /* wgsl */ `
fn halves(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(a.xz), pack2x16float(b.xz), pack2x16float(a.yw), pack2x16float(b.yw));
}
`;

/** residual[t] = embedding[ids[t]] (f16 rows [V, K]), T rows. Work: a workgroup a row. */
export const prefillEmbedWgsl: string = /* wgsl */ `
override K: u32;
@group(0) @binding(0) var<storage, read> embedding: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> residual: array<vec4<f32>>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  for (var i = tid; i < K / 4u; i += 256u) {
    let e = embedding[ids[wg.x] * (K / 4u) + i];
    residual[wg.x * (K / 4u) + i] = vec4<f32>(unpack2x16float(e.x), unpack2x16float(e.y));
  }
}
`;

/** x[t] = f16(residual[t] · rsqrt(mean residual² + eps) ∘ norm). norm in planes (wgsl/fixed16.ts). Work: a workgroup a row. */
export const prefillNormWgsl: string = /* wgsl */ `
override K: u32;
override EPS: f32;
@group(0) @binding(0) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<u32>>;
var<workgroup> sums: array<f32, 256>;
var<workgroup> sixteenths: array<f32, 16>;
${eightToHalves}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  var s = 0.0;
  for (var i = tid; i < K / 4u; i += 256u) { let r = residual[wg.x * (K / 4u) + i]; s += dot(r, r); }
  sums[tid] = s;
  workgroupBarrier();
  if (tid < 16u) {
    var t = 0.0;
    for (var i = tid; i < 256u; i += 16u) { t += sums[i]; }
    sixteenths[tid] = t;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 16u; i++) { total += sixteenths[i]; }
  let inverse = inverseSqrt(total / f32(K) + EPS);
  for (var i = tid; i < K / 8u; i += 256u) {
    let at = ((2u * i) & 7u) * (K / 32u) + (i >> 2u);
    x[wg.x * (K / 8u) + i] = halves(residual[wg.x * (K / 4u) + 2u * i] * inverse * norm[at], residual[wg.x * (K / 4u) + 2u * i + 1u] * inverse * norm[at + K / 32u]);
  }
}
`;

/** x[t] = f16(y[t]), [T, K] f32. Work: a thread eight values. */
export const prefillRowsToF16Wgsl: string = /* wgsl */ `
override COUNT: u32;
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;
${eightToHalves}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) size: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  for (var i = wg.x * 256u + tid; i < COUNT / 8u; i += size.x * 256u) { x[i] = halves(y[2u * i], y[2u * i + 1u]); }
}
`;

/** x[t, f] = f16(silu(y[t, f]) · y[t, F + f]), y [T, 2F] f32. Work: a workgroup a row. */
export const prefillSiluMulWgsl: string = /* wgsl */ `
override F: u32;
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;
${eightToHalves}
fn silu_mul(i: u32) -> vec4<f32> {
  let g = y[i];
  return g / (1.0 + exp(min(-g, vec4<f32>(88.0)))) * y[i + F / 4u];
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  for (var i = tid; i < F / 8u; i += 256u) {
    let at = wg.x * (F / 2u) + 2u * i;
    x[wg.x * (F / 8u) + i] = halves(silu_mul(at), silu_mul(at + 1u));
  }
}
`;

/**
 * RoPE and the cache for T rows: y [T, (H + 2G) · HEAD] f32 → q [T, H · HEAD] f16 · 1/√HEAD (order natural), k_cache, v_cache
 * [G, S, HEAD] f16 at position0 + t. rotations [S, HEAD/2] (cos, sin). Work: a workgroup a row, a thread two pairs.
 */
export const prefillRopeWgsl: string = /* wgsl */ `
override H: u32;
override G: u32;
override HEAD: u32;
override S: u32;
override COUNT: u32;
@group(0) @binding(0) var<storage, read> y: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> rotations: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> q: array<u32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(5) var<uniform> state: vec4<u32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let position = state.x + wg.x;
  if (wg.x >= state.z) { return; }
  let width = (H + 2u * G) * HEAD / 2u;
  for (var i = tid; i < (H + 2u * G) * (HEAD / 4u); i += 256u) {
    let head = i / (HEAD / 4u);
    let d = i % (HEAD / 4u);
    var low = y[wg.x * width + head * (HEAD / 2u) + d];
    var high = y[wg.x * width + head * (HEAD / 2u) + HEAD / 4u + d];
    if (head < H + G) {
      let r = rotations[position * (HEAD / 4u) + d];
      let rotated = low * r.xz - high * r.yw;
      high = high * r.xz + low * r.yw;
      low = rotated;
    }
    if (head < H) {
      let at = (wg.x * H + head) * (HEAD / 2u) + d;
      q[at] = pack2x16float(low * inverseSqrt(f32(HEAD)));
      q[at + HEAD / 4u] = pack2x16float(high * inverseSqrt(f32(HEAD)));
    } else {
      let at = (((head - H) % G) * S + position) * (HEAD / 2u) + d;
      if (head < H + G) { k_cache[at] = pack2x16float(low); k_cache[at + HEAD / 4u] = pack2x16float(high); }
      else { v_cache[at] = pack2x16float(low); v_cache[at + HEAD / 4u] = pack2x16float(high); }
    }
  }
}
`;

/**
 * h[f] = silu(g[f]) · u[f], g = norm(x) · Wgateᵀ, u = norm(x) · Wupᵀ, int4 × fixed16, one row; h leaves as digits for down_proj.
 * digits, blocks: residual ∘ norm weight with Σ residual² a block; weights [2F, K/32]: gate rows, then up rows; out: F / 32 blocks, F % 32 = 0.
 * Steps covered: post_attention_layernorm's 1/rms, gate_proj, up_proj, silu · mul, quantization of the product.
 * Work: a workgroup owns 32 f: team 0 the gate rows, team 1 the up rows, four at a time; one finished block of h comes out.
 * Workgroup memory at TEAM = 128: 17 KB. Limit: memory (F · K bytes).
 */
import { fixed16Quantize, fixed16Rows, fixed16Sums } from "../wgsl/fixed16.ts";

export const awqGateUpFixed16Wgsl: string = /* wgsl */ `
override K: u32;
override F: u32;
override EPS: f32;
override GROUP: u32 = 128u;
override TEAM: u32 = 128u;
override THREADS: u32 = 2u * TEAM;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override STEPS: u32 = (K / 32u + TEAM - 1u) / TEAM;

@group(0) @binding(0) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out_digits: array<u32>;
@group(0) @binding(5) var<storage, read_write> out_blocks: array<vec4<u32>>;
var<workgroup> partials: array<f32, 16 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 64 * (TEAM / 4 + 1)>;
var<workgroup> totals: array<f32, 64>;
var<workgroup> squares: array<f32, 16>;
var<workgroup> h: array<vec4<f32>, 8>;
${fixed16Quantize}${fixed16Rows}${fixed16Sums}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let team = tid / TEAM;
  let lane = tid % TEAM;
  let row = team * F + wg.x * 32u;
  var rows = load_rows(row, min(lane, BLOCKS - 1u));
  var x = load_digits(min(lane, BLOCKS - 1u));
  if (tid < 16u) {
    var t = 0.0;
    for (var b = tid; b < BLOCKS; b += 16u) { t += bitcast<f32>(blocks[b].z); }
    squares[tid] = t;
  }
  var s = vec4<f32>(0.0);
  for (var step = 0u; step < 8u * STEPS; step++) {
    let b = lane + (step % STEPS) * TEAM;
    var next = rows;
    if (step + 1u < 8u * STEPS) {
      next = load_rows(row + 4u * ((step + 1u) / STEPS), min(lane + ((step + 1u) % STEPS) * TEAM, BLOCKS - 1u));
    }
    if (STEPS > 1u && step > 0u) { x = load_digits(min(b, BLOCKS - 1u)); }
    let t = join(rows, x);
    if (b < BLOCKS) { s += t; }
    rows = next;
    if ((step + 1u) % STEPS == 0u) {
      let quad = step / STEPS;
      let base = ((quad & 1u) * 2u + team) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[((team * 8u + quad) * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  for (var r = tid; r < 64u; r += THREADS) { totals[r] = row_total(r); }
  workgroupBarrier();
  if (tid < 8u) {
    var square = 0.0;
    for (var i = 0u; i < 16u; i++) { square += squares[i]; }
    let inverse = inverseSqrt(square / f32(K) + EPS);
    let f = 4u * tid;
    let g = vec4<f32>(totals[f], totals[f + 1u], totals[f + 2u], totals[f + 3u]) * inverse;
    let u = vec4<f32>(totals[32u + f], totals[33u + f], totals[34u + f], totals[35u + f]) * inverse;
    h[tid] = g / (1.0 + exp(min(-g, vec4<f32>(88.0)))) * u;
  }
  workgroupBarrier();
  if (tid < 8u) {
    var largest = 0u;
    for (var i = 0u; i < 8u; i++) { largest = max(largest, abs_bits(h[i])); }
    let v = quantize(h[tid], largest);
    let at = 4u * ((tid >> 2u) * (F / 32u) + wg.x) + (tid & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + F / 4u] = pack_bytes(v);
    if (tid == 0u) {
      var sum = vec4<i32>(0);
      for (var i = 0u; i < 8u; i++) { sum += quantize(h[i], largest); }
      out_blocks[wg.x] = vec4<u32>(block_scale(largest), bitcast<u32>(sum.x + sum.y + sum.z + sum.w), 0u, 0u);
    }
  }
}
`;

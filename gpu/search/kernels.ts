/**
 * Kernels of the quantizer's search, twins of core/quant/search in f32: weights rounded behind scales (stages.ts), and
 * the range of each group (clip-search.ts). Where two candidates are within f32's rounding of each other the device may
 * take the other one.
 */
import { type Kernel, uncounted } from "../pipeline/kernel.ts";

/** f16's nearest, and the grid of a range: scale and zero point, as core/quant/search/grid.ts has them. */
export const gridWgsl: string = /* wgsl */ `// By hand: pack2x16float may round either way.
fn half(x: f32) -> f32 {
  if (x < 6.103515625e-5) { return round(x * 16777216.0) / 16777216.0; }
  let bits = bitcast<u32>(x);
  return bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
}
fn grid(low: f32, high: f32) -> vec2<f32> {
  let scale = half(max(max(high, 0.0) - min(low, 0.0), 1e-5) / params.top);
  return vec2(scale, clamp(-round(clamp(low / scale, -2.0 * params.top, 2.0 * params.top)), 0.0, params.top));
}
fn value(w: f32, g: vec2<f32>) -> f32 {
  return (clamp(round(clamp(w / g.x, -4.0 * params.top, 4.0 * params.top)) + g.y, 0.0, params.top) - g.y) * g.x;
}`;

/** out = (W ∘ s rounded to the nearest of each group's grid) / s; W [N, K], s [K] from number `at` on. A workgroup for each group. */
export const behindScales: Kernel<"W" | "s" | "out", "groups" | "K" | "G" | "at" | "top"> = uncounted(
  "search-behind-scales",
  /* wgsl */ `
struct Params { groups: u32, K: u32, G: u32, at: u32, top: f32 }
@group(0) @binding(0) var<storage, read> W: array<f32>;
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
${gridWgsl}
var<workgroup> lows: array<f32, 64>;
var<workgroup> highs: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let g = wg.x + wg.y * count.x;
  if (g >= params.groups) { return; }
  let first = g * params.G;
  let column = params.at + first % params.K;
  var low = 3.4e38;
  var high = -3.4e38;
  for (var j = lane; j < params.G; j += 64u) {
    let w = W[first + j] * s[column + j];
    low = min(low, w);
    high = max(high, w);
  }
  lows[lane] = low;
  highs[lane] = high;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) {
    low = min(low, lows[i]);
    high = max(high, highs[i]);
  }
  let own = grid(low, high);
  for (var j = lane; j < params.G; j += 64u) { out[first + j] = value(W[first + j] * s[column + j], own) / s[column + j]; }
}
`,
);

/** Rows that a workgroup of `clip` looks at. */
export const CLIP_ROWS = 3;
/** Inputs of a group, at most. */
export const CLIP_GROUP = 128;

/**
 * The best of ten cuts of each group's range, into best [groups] (low, high, loss, 0), where it is better than what
 * stands there; whole [groups] (min, max). mode 0: the range as it is, for the first loss; 1: both ends by one
 * magnitude; 2: the low end; 3: the high one. H: the Gram's blocks on the diagonal [K/G, G, G], or all of it [K, K]:
 * `pitch` is how long its rows are. A workgroup for each group of inputs and CLIP_ROWS rows.
 */
export const clip: Kernel<"W" | "H" | "whole" | "best", "N" | "K" | "G" | "pitch" | "top" | "mode"> = uncounted(
  "search-clip",
  /* wgsl */ `
struct Params { N: u32, K: u32, G: u32, pitch: u32, top: f32, mode: u32 }
@group(0) @binding(0) var<storage, read> W: array<f32>;
@group(0) @binding(1) var<storage, read> H: array<f32>;
@group(0) @binding(2) var<storage, read> whole: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> best: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;
${gridWgsl}
const ROWS = ${CLIP_ROWS}u;
const CUTS = 10u;
const EACH = ${CLIP_ROWS * 10}u;
const LANES = ${CLIP_GROUP}u;
var<workgroup> deltas: array<f32, ${CLIP_ROWS * 10 * CLIP_GROUP}>;
var<workgroup> losses: array<f32, LANES>;
var<workgroup> found: array<f32, EACH>;
/** Range of cut c of a group: of (min, max), and what is best so far. */
fn cut(c: u32, ends: vec2<f32>, now: vec4<f32>) -> vec2<f32> {
  let share = 1.0 - f32(c) / 20.0;
  if (params.mode == 0u) { return ends; }
  if (params.mode == 1u) {
    let limit = share * max(abs(ends.x), abs(ends.y));
    return vec2(max(ends.x, -limit), min(ends.y, limit));
  }
  if (params.mode == 2u) { return vec2(select(ends.x, ends.x * share, ends.x < 0.0), now.y); }
  return vec2(now.x, select(ends.y, ends.y * share, ends.y > 0.0));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let groups = params.K / params.G;
  let g = wg.y;
  let row0 = wg.x * ROWS;
  let inside = lane < params.G;
  for (var e = 0u; e < EACH; e++) {
    let n = min(row0 + e / CUTS, params.N - 1u);
    let at = n * groups + g;
    if (inside) {
      let w = W[n * params.K + g * params.G + lane];
      let range = cut(e % CUTS, whole[at], best[at]);
      deltas[e * LANES + lane] = value(w, grid(range.x, range.y)) - w;
    }
  }
  workgroupBarrier();
  var sums: array<f32, EACH>;
  for (var e = 0u; e < EACH; e++) { sums[e] = 0.0; }
  if (inside) {
    let column = select(g * params.G, 0u, params.pitch == params.G);
    for (var j = 0u; j < params.G; j++) {
      let h = H[(g * params.G + j) * params.pitch + column + lane];
      for (var e = 0u; e < EACH; e++) { sums[e] += h * deltas[e * LANES + j]; }
    }
  }
  for (var e = 0u; e < EACH; e++) {
    losses[lane] = select(0.0, sums[e] * deltas[e * LANES + lane], inside);
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
      workgroupBarrier();
      if (lane < width) { losses[lane] += losses[lane + width]; }
    }
    workgroupBarrier();
    if (lane == 0u) { found[e] = losses[0]; }
    workgroupBarrier();
  }
  let n = row0 + lane;
  if (lane >= ROWS || n >= params.N) { return; }
  let at = n * groups + g;
  let before = best[at];
  var now = before;
  if (params.mode == 0u) { now = vec4(whole[at], found[lane * CUTS], 0.0); }
  else {
    for (var c = 0u; c < CUTS; c++) {
      let loss = found[lane * CUTS + c];
      if (loss < now.z) { now = vec4(cut(c, whole[at], before), loss, 0.0); }
    }
  }
  best[at] = now;
}
`,
);

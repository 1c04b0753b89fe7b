/** Kernels of the quantizer's search that round a matrix on chosen ranges: what that changes of some rows, and the words of all. f32. */
import { type Kernel, uncounted } from "../pipeline/kernel.ts";
import { gridWgsl } from "./kernels.ts";

/** out[i] = ŵ − w of row rows[i].x of W [N, K], rounded within the ranges best [N, K/G]. Invocations: count · K. */
export const roundedDelta: Kernel<"W" | "best" | "rows" | "out", "count" | "K" | "G" | "top"> = uncounted(
  "search-rounded-delta",
  /* wgsl */ `
struct Params { count: u32, K: u32, G: u32, top: f32 }
@group(0) @binding(0) var<storage, read> W: array<f32>;
@group(0) @binding(1) var<storage, read> best: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
${gridWgsl}
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= params.count * params.K) { return; }
  let at = rows[i / params.K].x * params.K + i % params.K;
  let range = best[at / params.G];
  out[i] = value(W[at], grid(range.x, range.y)) - W[at];
}
`,
);

/** grids[g] = (scale, zero point) of each group's range. Invocations: the groups. */
export const gridsOfRanges: Kernel<"best" | "grids", "groups" | "top"> = uncounted(
  "search-grids",
  /* wgsl */ `
struct Params { groups: u32, top: f32 }
@group(0) @binding(0) var<storage, read> best: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> grids: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> params: Params;
${gridWgsl}
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let g = id.x + id.y * count.x * 256u;
  if (g < params.groups) { grids[g] = grid(best[g].x, best[g].y); }
}
`,
);

/** AWQ's words [K, N/8] of W [N, K] on its grids (core/quant/awq-format.ts). Invocations: K · N/8, inputs side by side. */
export const packed: Kernel<"W" | "grids" | "words", "N" | "K" | "G" | "top"> = uncounted(
  "search-packed",
  /* wgsl */ `
struct Params { N: u32, K: u32, G: u32, top: f32 }
@group(0) @binding(0) var<storage, read> W: array<f32>;
@group(0) @binding(1) var<storage, read> grids: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;
/** Nibble of each of a word's eight columns. */
const SHIFTS = array<u32, 8>(0u, 16u, 4u, 20u, 8u, 24u, 12u, 28u);
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  let k = i % params.K;
  let n8 = i / params.K;
  if (n8 >= params.N / 8u) { return; }
  var word = 0u;
  var shifts = SHIFTS;
  for (var j = 0u; j < 8u; j++) {
    let at = (8u * n8 + j) * params.K + k;
    let g = grids[at / params.G];
    let q = clamp(round(clamp(W[at] / g.x, -4.0 * params.top, 4.0 * params.top)) + g.y, 0.0, params.top);
    word |= u32(q) << shifts[j];
  }
  words[k * (params.N / 8u) + n8] = word;
}
`,
);

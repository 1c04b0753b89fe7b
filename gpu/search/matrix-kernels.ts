/** Kernels of the quantizer's search that move and sum matrices: what core/quant/search does in loops. f32; none of them is tuned. */
import { type Kernel, uncounted } from "../pipeline/kernel.ts";

/** out [count] of numbers that a checkpoint has as f32 (dtype 0), f16 (1) or bf16 (2), by 32-bit words. Invocations: the words. */
export const widened: Kernel<"words" | "out", "count" | "dtype"> = uncounted(
  "search-widened",
  /* wgsl */ `
struct Params { count: u32, dtype: u32 }
@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (params.dtype == 0u) {
    if (i < params.count) { out[i] = bitcast<f32>(words[i]); }
    return;
  }
  if (2u * i >= params.count) { return; }
  let word = words[i];
  let pair = select(unpack2x16float(word), vec2(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)), params.dtype == 2u);
  out[2u * i] = pair.x;
  if (2u * i + 1u < params.count) { out[2u * i + 1u] = pair.y; }
}
`,
);

/** Row to[i] of `out` is row from[i] of x, of K numbers. Invocations: count · K. */
export const gathered: Kernel<"x" | "moves" | "out", "count" | "K"> = uncounted(
  "search-gathered",
  /* wgsl */ `
struct Params { count: u32, K: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> moves: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= params.count * params.K) { return; }
  let pair = moves[i / params.K];
  out[pair.y * params.K + i % params.K] = x[pair.x * params.K + i % params.K];
}
`,
);

/** x [R, C] in place: mode 0: times s of the column; 1: over s of the row; 2: over both. Invocations: R · C. */
export const rescaled: Kernel<"s" | "x", "length" | "C" | "mode"> = uncounted(
  "search-rescaled",
  /* wgsl */ `
struct Params { length: u32, C: u32, mode: u32 }
@group(0) @binding(0) var<storage, read> s: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= params.length) { return; }
  let row = s[i / params.C];
  let column = s[i % params.C];
  if (params.mode == 0u) { x[i] = x[i] * column; }
  if (params.mode == 1u) { x[i] = x[i] / row; }
  if (params.mode == 2u) { x[i] = x[i] / (row * column); }
}
`,
);

/** x −= y, so many numbers. */
export const lessened: Kernel<"y" | "x", "length"> = uncounted(
  "search-lessened",
  /* wgsl */ `
struct Params { length: u32 }
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i < params.length) { x[i] -= y[i]; }
}
`,
);

/** sums[at + row] = Σ (a − b)² (mode 0) or Σ a b (mode 1) over a row of K numbers. A workgroup for each row. */
export const rowSums: Kernel<"a" | "b" | "sums", "K" | "at" | "mode"> = uncounted(
  "search-row-sums",
  /* wgsl */ `
struct Params { K: u32, at: u32, mode: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
const LANES = 128u;
var<workgroup> parts: array<f32, LANES>;
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wg.x * params.K;
  var own = 0.0;
  for (var k = lane; k < params.K; k += LANES) {
    let x = a[row + k];
    let y = b[row + k];
    own += select((x - y) * (x - y), x * y, params.mode == 1u);
  }
  parts[lane] = own;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { parts[lane] += parts[lane + width]; }
  }
  if (lane == 0u) { sums[params.at + wg.x] = parts[0]; }
}
`,
);

/** sums[k] += Σ_r |x[r, k]| · (1, or the reciprocal of the largest |x| of its group and 1e-6). Invocations: K. */
export const columnSums: Kernel<"x" | "largest" | "sums", "R" | "K" | "G"> = uncounted(
  "search-column-sums",
  /* wgsl */ `
struct Params { R: u32, K: u32, G: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> largest: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let k = id.x;
  if (k >= params.K) { return; }
  // Two levels of sums, so that f32 loses little.
  var total = 0.0;
  for (var begin = 0u; begin < params.R; begin += 64u) {
    var sum = 0.0;
    for (var r = begin; r < min(begin + 64u, params.R); r++) {
      let value = abs(x[r * params.K + k]);
      if (params.G == 0u) { sum += value; } else { sum += value / (largest[(r * params.K + k) / params.G] + 1e-6); }
    }
    total += sum;
  }
  sums[k] += total;
}
`,
);

/** largest[g]: of |x| in each group of G; whole[g] its least and greatest x; best[g] the same. Invocations: the groups. */
export const extremes: Kernel<"x" | "largest" | "whole" | "best", "groups" | "G"> = uncounted(
  "search-extremes",
  /* wgsl */ `
struct Params { groups: u32, G: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> largest: array<f32>;
@group(0) @binding(2) var<storage, read_write> whole: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> best: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let g = id.x + id.y * count.x * 256u;
  if (g >= params.groups) { return; }
  var low = 3.4e38;
  var high = -3.4e38;
  for (var i = g * params.G; i < (g + 1u) * params.G; i++) {
    low = min(low, x[i]);
    high = max(high, x[i]);
  }
  largest[g] = max(abs(low), abs(high));
  whole[g] = vec2(low, high);
  best[g] = vec4(low, high, 0.0, 0.0);
}
`,
);

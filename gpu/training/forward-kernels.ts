/**
 * Rows of several texts through a layer, in f32: what a forward pass of gpu/kernels does at positions that follow each
 * other, here with a position of its own for each row: `first[t]` is the row that row t's text begins at. Training and
 * the quantizer's search run them. Products are those of plain/matmul-tile64.ts, norms those of plain/rms-norm.ts. None
 * of them is tuned: together they take less than the products.
 */
import { type Kernel, uncounted } from "../pipeline/kernel.ts";

/** x [T, heads, 2 half] turned by the angle of its row's place in its text, times `sign`; in place. Invocations: T · heads · half. */
export const turn: Kernel<"first" | "cos" | "sin" | "x", "T" | "heads" | "half" | "sign"> = uncounted(
  "train-turn",
  /* wgsl */ `
struct Params { T: u32, heads: u32, half: u32, sign: f32 }
@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> cos: array<f32>;
@group(0) @binding(2) var<storage, read> sin: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  let pair = i % params.half;
  let head = (i / params.half) % params.heads;
  let t = i / (params.half * params.heads);
  if (t >= params.T) { return; }
  let angle = (t - first[t]) * params.half + pair;
  let c = cos[angle];
  let s = sin[angle] * params.sign;
  let at = (t * params.heads + head) * 2u * params.half + pair;
  let a = x[at];
  let b = x[at + params.half];
  x[at] = a * c - b * s;
  x[at + params.half] = b * c + a * s;
}
`,
);

/** What attention's two kernels share: a row's weights over the keys of its own text, in workgroup memory. */
export const attentionWeightsWgsl = /* wgsl */ `struct Params { H: u32, G: u32, Hd: u32, longest: u32 }
const LANES = 64u;
const LONGEST = 512u;
var<workgroup> weights: array<f32, LONGEST>;
var<workgroup> parts: array<f32, LANES>;
fn folded(lane: u32, value: f32, largest: bool) -> f32 {
  workgroupBarrier();
  parts[lane] = value;
  workgroupBarrier();
  var out = parts[0];
  for (var i = 1u; i < LANES; i++) {
    if (largest) { out = max(out, parts[i]); } else { out += parts[i]; }
  }
  return out;
}
/** weights[s] = softmax over s of q[t, h] · k[begin + s] / √Hd, s < count. */
fn weigh(query: u32, begin: u32, group: u32, count: u32, lane: u32) {
  var most = -3.4e38;
  for (var s = lane; s < count; s += LANES) {
    let key = ((begin + s) * params.G + group) * params.Hd;
    var dot = 0.0;
    for (var i = 0u; i < params.Hd; i++) { dot += q[query + i] * k[key + i]; }
    let score = dot * inverseSqrt(f32(params.Hd));
    weights[s] = score;
    most = max(most, score);
  }
  most = folded(lane, most, true);
  var sum = 0.0;
  for (var s = lane; s < count; s += LANES) {
    let e = exp(weights[s] - most);
    weights[s] = e;
    sum += e;
  }
  sum = folded(lane, sum, false);
  for (var s = lane; s < count; s += LANES) { weights[s] = weights[s] / sum; }
  workgroupBarrier();
}`;

/** What their `main` begins with: its row and head, and the weights. */
export const attentionMainWgsl = /* wgsl */ `@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = wg.x;
  let h = wg.y;
  let group = h * params.G / params.H;
  let begin = first[t];
  let count = t - begin + 1u;
  let query = (t * params.H + h) * params.Hd;
  weigh(query, begin, group, count, lane);`;

/** out [T, H, Hd] of q, k, v; a workgroup for each (t, h). Texts of at most 512 rows. */
export const attend: Kernel<"first" | "q" | "k" | "v" | "out", "H" | "G" | "Hd" | "longest"> = uncounted(
  "train-attend",
  /* wgsl */ `
@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
${attentionWeightsWgsl}
${attentionMainWgsl}
  for (var i = lane; i < params.Hd; i += LANES) {
    var sum = 0.0;
    for (var s = 0u; s < count; s++) { sum += weights[s] * v[((begin + s) * params.G + group) * params.Hd + i]; }
    out[query + i] = sum;
  }
}
`,
);

/** out = g σ(g) u. Invocations: the length. */
export const gate: Kernel<"g" | "u" | "out", "length"> = uncounted(
  "train-gate",
  /* wgsl */ `
struct Params { length: u32 }
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i < params.length) { out[i] = g[i] / (1.0 + exp(-g[i])) * u[i]; }
}
`,
);

/** out [C, R] of x [R, C], by squares of 16. */
export const transpose: Kernel<"x" | "out", "R" | "C"> = uncounted(
  "train-transpose",
  /* wgsl */ `
struct Params { R: u32, C: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
var<workgroup> square: array<array<f32, 17>, 16>;
@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let r = wg.y * 16u + local.y;
  let c = wg.x * 16u + local.x;
  if (r < params.R && c < params.C) { square[local.y][local.x] = x[r * params.C + c]; }
  workgroupBarrier();
  let toRow = wg.x * 16u + local.y;
  let toColumn = wg.y * 16u + local.x;
  if (toRow < params.C && toColumn < params.R) { out[toRow * params.R + toColumn] = square[local.x][local.y]; }
}
`,
);

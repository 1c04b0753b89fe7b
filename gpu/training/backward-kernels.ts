/**
 * The kernels of the way back, twins of core/quant/train in f32: what a change of an op's output means for its inputs,
 * and the steps of latents, scales and norms. Rows are those of several texts one after the other (forward-kernels.ts);
 * `spans[t]`: the first row of row t's text, and the one behind its last.
 */
import { type Kernel, uncounted } from "../pipeline/kernel.ts";
import { attentionMainWgsl, attentionWeightsWgsl } from "./forward-kernels.ts";

/**
 * dq [T, H, Hd] of dy; and the weights P and what is asked of the scores, dS, [T, H, longest] each, for the keys' part.
 * A workgroup for each (t, h).
 */
export const attendBack: Kernel<"first" | "q" | "k" | "v" | "dy" | "dq" | "P" | "dS", "H" | "G" | "Hd" | "longest"> = uncounted(
  "train-attend-back",
  /* wgsl */ `
@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;
@group(0) @binding(6) var<storage, read_write> P: array<f32>;
@group(0) @binding(7) var<storage, read_write> dS: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;
${attentionWeightsWgsl}
var<workgroup> asked: array<f32, LONGEST>;
${attentionMainWgsl}
  var mean = 0.0;
  for (var s = lane; s < count; s += LANES) {
    let value = ((begin + s) * params.G + group) * params.Hd;
    var dot = 0.0;
    for (var i = 0u; i < params.Hd; i++) { dot += dy[query + i] * v[value + i]; }
    asked[s] = dot;
    mean += dot * weights[s];
  }
  mean = folded(lane, mean, false);
  let row = (t * params.H + h) * params.longest;
  for (var s = lane; s < count; s += LANES) {
    let d = weights[s] * (asked[s] - mean) * inverseSqrt(f32(params.Hd));
    asked[s] = d;
    P[row + s] = weights[s];
    dS[row + s] = d;
  }
  workgroupBarrier();
  for (var i = lane; i < params.Hd; i += LANES) {
    var sum = 0.0;
    for (var s = 0u; s < count; s++) { sum += asked[s] * k[((begin + s) * params.G + group) * params.Hd + i]; }
    dq[query + i] = sum;
  }
}
`,
);

/** dk, dv [T, G, Hd] of P and dS: sums over the rows behind each key and the heads that read it. A workgroup for each (t, g). */
export const attendKeys: Kernel<"spans" | "q" | "dy" | "P" | "dS" | "dk" | "dv", "H" | "G" | "Hd" | "longest"> = uncounted(
  "train-attend-keys",
  /* wgsl */ `
struct Params { H: u32, G: u32, Hd: u32, longest: u32 }
@group(0) @binding(0) var<storage, read> spans: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> P: array<f32>;
@group(0) @binding(4) var<storage, read> dS: array<f32>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let s = wg.x;
  let g = wg.y;
  let span = spans[s];
  for (var i = lane; i < params.Hd; i += 64u) {
    var sumK = 0.0;
    var sumV = 0.0;
    for (var h = 0u; h < params.H; h++) {
      if (h * params.G / params.H != g) { continue; }
      for (var t = s; t < span.y; t++) {
        let at = (t * params.H + h) * params.longest + s - span.x;
        let other = (t * params.H + h) * params.Hd + i;
        sumK += dS[at] * q[other];
        sumV += P[at] * dy[other];
      }
    }
    dk[(s * params.G + g) * params.Hd + i] = sumK;
    dv[(s * params.G + g) * params.Hd + i] = sumV;
  }
}
`,
);

/** dg and du of dy = ∂/∂(g σ(g) u). */
export const gateBack: Kernel<"g" | "u" | "dy" | "dg" | "du", "length"> = uncounted(
  "train-gate-back",
  /* wgsl */ `
struct Params { length: u32 }
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dg: array<f32>;
@group(0) @binding(4) var<storage, read_write> du: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= params.length) { return; }
  let s = 1.0 / (1.0 + exp(-g[i]));
  dg[i] = dy[i] * u[i] * s * (1.0 + g[i] * (1.0 - s));
  du[i] = dy[i] * g[i] * s;
}
`,
);

/** dx of a norm's dy, x and weight w; and dy x r, whose sums over the rows are dw. A workgroup for each row. */
export const normBack: Kernel<"x" | "w" | "dy" | "dx" | "products", "D" | "eps"> = uncounted(
  "train-norm-back",
  /* wgsl */ `
struct Params { D: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> products: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
var<workgroup> parts: array<vec2<f32>, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wg.x * params.D;
  var own = vec2(0.0);
  for (var d = lane; d < params.D; d += 64u) { own += vec2(x[row + d] * x[row + d], x[row + d] * w[d] * dy[row + d]); }
  parts[lane] = own;
  workgroupBarrier();
  var sum = vec2(0.0);
  for (var i = 0u; i < 64u; i++) { sum += parts[i]; }
  let r = inverseSqrt(sum.x / f32(params.D) + params.eps);
  let back = r * r * sum.y / f32(params.D);
  for (var d = lane; d < params.D; d += 64u) {
    dx[row + d] = r * (w[d] * dy[row + d] - x[row + d] * back);
    products[row + d] = dy[row + d] * x[row + d] * r;
  }
}
`,
);

/** z [T, V] := softmax(z) − softmax(base), 0 where `scored` is 0; kl[t] the divergence. A workgroup for each row. */
export const distil: Kernel<"scored" | "base" | "z" | "kl", "V"> = uncounted(
  "train-distil",
  /* wgsl */ `
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> scored: array<f32>;
@group(0) @binding(1) var<storage, read> base: array<f32>;
@group(0) @binding(2) var<storage, read_write> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> kl: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
const LANES = 256u;
var<workgroup> parts: array<vec2<f32>, LANES>;
fn folded(lane: u32, value: vec2<f32>, largest: bool) -> vec2<f32> {
  workgroupBarrier();
  parts[lane] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) {
      if (largest) { parts[lane] = max(parts[lane], parts[lane + width]); } else { parts[lane] += parts[lane + width]; }
    }
  }
  workgroupBarrier();
  return parts[0];
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wg.x * params.V;
  var most = vec2(-3.4e38);
  for (var i = lane; i < params.V; i += LANES) { most = max(most, vec2(base[row + i], z[row + i])); }
  most = folded(lane, most, true);
  var sum = vec2(0.0);
  for (var i = lane; i < params.V; i += LANES) { sum += exp(vec2(base[row + i], z[row + i]) - most); }
  sum = folded(lane, sum, false);
  let logs = most + log(sum);
  var total = 0.0;
  let share = scored[wg.x];
  for (var i = lane; i < params.V; i += LANES) {
    let each = vec2(base[row + i], z[row + i]) - logs;
    let p = exp(each);
    total += p.x * (each.x - each.y);
    z[row + i] = share * (p.y - p.x);
  }
  total = folded(lane, vec2(total, 0.0), false).x;
  if (lane == 0u) { kl[wg.x] = share * total; }
}
`,
);

/** Rates of a step: of latents, and of scales and norms, over 1 − β₁ᵗ; and 1 / (1 − β₂ᵗ). */
const adamWgsl = /* wgsl */ `struct Pace { rate: f32, scaleRate: f32, second: f32, reserved: f32 }
fn moved(m: ptr<function, f32>, v: ptr<function, f32>, gradient: f32) -> f32 {
  *m = 0.9 * *m + 0.1 * gradient;
  *v = 0.99 * *v + 0.01 * gradient * gradient;
  if (*v == 0.0) { return 0.0; }
  return *m / (sqrt(*v * pace.second) + 1e-20);
}`;

/** A step of latents u and scales of one linear, by dW; and the weights that they stand for then. A workgroup for each group. */
export const moveLatents: Kernel<"pace" | "zeros" | "dW" | "u" | "adam" | "scales" | "scaleAdam" | "W", "groups" | "groupSize" | "top"> =
  uncounted(
    "train-move-latents",
    /* wgsl */ `
struct Params { groups: u32, groupSize: u32, top: f32 }
@group(0) @binding(0) var<uniform> pace: Pace;
@group(0) @binding(1) var<storage, read> zeros: array<f32>;
@group(0) @binding(2) var<storage, read> dW: array<f32>;
@group(0) @binding(3) var<storage, read_write> u: array<f32>;
@group(0) @binding(4) var<storage, read_write> adam: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> scaleAdam: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> W: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;
${adamWgsl}
var<workgroup> parts: array<f32, 64>;
fn whole(value: f32) -> f32 { return clamp(floor(value + 0.5), 0.0, params.top); }
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let g = wg.x + wg.y * count.x;
  if (g >= params.groups) { return; }
  let s = scales[g];
  let z = zeros[g];
  var own = 0.0;
  for (var j = lane; j < params.groupSize; j += 64u) {
    let i = g * params.groupSize + j;
    var d = s * dW[i];
    let value = u[i];
    own += (whole(value) - z) * d;
    if ((value > params.top + 0.5 && d < 0.0) || (value < -0.5 && d > 0.0)) { d = 0.0; }
    if (pace.rate > 0.0) {
      var m = adam[i].x;
      var v = adam[i].y;
      u[i] = value - pace.rate * moved(&m, &v, d);
      adam[i] = vec2(m, v);
    }
  }
  parts[lane] = own;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 64u; i++) { sum += parts[i]; }
  var m = scaleAdam[g].x;
  var v = scaleAdam[g].y;
  let next = s - pace.scaleRate * moved(&m, &v, sum) * abs(s);
  for (var j = lane; j < params.groupSize; j += 64u) {
    let i = g * params.groupSize + j;
    W[i] = next * (whole(u[i]) - z);
  }
  workgroupBarrier();
  if (lane == 0u) {
    scales[g] = next;
    scaleAdam[g] = vec2(m, v);
  }
}
`,
  );

/** A step of a norm's weight by dw = Σ of the rows of products [T, D]. A workgroup for each of D. */
export const moveNorm: Kernel<"pace" | "products" | "adam" | "w", "T" | "D"> = uncounted(
  "train-move-norm",
  /* wgsl */ `
struct Params { T: u32, D: u32 }
@group(0) @binding(0) var<uniform> pace: Pace;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read_write> adam: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
${adamWgsl}
var<workgroup> parts: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let d = wg.x;
  var own = 0.0;
  for (var t = lane; t < params.T; t += 64u) { own += products[t * params.D + d]; }
  parts[lane] = own;
  workgroupBarrier();
  if (lane > 0u) { return; }
  var sum = 0.0;
  for (var i = 0u; i < 64u; i++) { sum += parts[i]; }
  var m = adam[d].x;
  var v = adam[d].y;
  w[d] = w[d] - pace.scaleRate * moved(&m, &v, sum) * abs(w[d]);
  adam[d] = vec2(m, v);
}
`,
);

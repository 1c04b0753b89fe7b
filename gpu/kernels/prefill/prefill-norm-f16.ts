/**
 * x[t] = f16(residual[t] · rsqrt(mean residual[t]² + eps) ∘ norm) in eights (wgsl/eights.ts); residual [T, K] f32, norm
 * [K] f32. First, where there is something to join, residual[t] += Σ_p residual[APART · p + t] + bias, 1 ≤ p ≤ PIECES
 * ascending: what the product before left in pieces behind the residual's rows, and its bias [K]. One workgroup per row, two passes over it, each invocation on the
 * same elements in both, of which it keeps the first two eights. Sums of a row in fixed order. Limited by latency, for many rows by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl, eightsWords, wordWgsl } from "../../wgsl/eights.ts";
import type { WorkgroupLimits } from "../../wgsl/teams.ts";

/** K a multiple of 8; `pieces` beside the residual, `apart` rows one behind the other; without `hasBias`, `bias` is not read; `panels`: x comes in panels (K a multiple of 32); `lanes`: invocations for a row, a multiple of 16. */
export type PrefillNormShape = Readonly<{
  K: number;
  eps: number;
  pieces?: number;
  apart?: number;
  hasBias?: boolean;
  panels?: boolean;
  lanes?: number;
}>;

/** Invocations for a row: as many as every device has; where few rows leave a device idle, one for each eight of 4096, if it has them. */
const LANES = 256;
export const normLanes = (few: boolean, { invocations }: WorkgroupLimits): number => (few && invocations >= 2 * LANES ? 2 * LANES : LANES);

export const prefillNormF16: Card<"residual" | "norm" | "bias" | "x", PrefillNormShape> = makeCard({
  name: "prefill-norm-f16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override EPS: f32 = 1e-5;
override PIECES: u32 = 0u;
override APART: u32 = 16u;
override HAS_BIAS: bool = false;

@group(0) @binding(0) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<u32>>;
override LANES: u32 = 256u;
const FOLDED = 16u;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> folded: array<f32, FOLDED>;
${eightsWgsl}
${wordWgsl}
fn joined(row: u32, i: u32) -> vec4<f32> {
  var r = residual[row + i];
  for (var p = 1u; p <= PIECES; p++) { r += residual[row + i + p * (APART * (K / 4u))]; }
  if (HAS_BIAS) { r += bias[i]; }
  return r;
}
fn settle(row: u32, i: u32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  if (PIECES > 0u || HAS_BIAS) {
    residual[row + i] = a;
    residual[row + i + 1u] = b;
  }
  return dot(a, a) + dot(b, b);
}
fn normed(a: vec4<f32>, b: vec4<f32>, inverse: f32, c: vec4<f32>, d: vec4<f32>) -> vec4<u32> { return eight(a * inverse * c, b * inverse * d); }
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = wg.x * (K / 4u);
  // The first and the second eight of an invocation stay in registers, their loads and those of their weights under way together.
  let first = tid < K / 8u;
  let second = tid + LANES < K / 8u;
  var a0: vec4<f32>; var b0: vec4<f32>; var a1: vec4<f32>; var b1: vec4<f32>;
  var c0: vec4<f32>; var d0: vec4<f32>; var c1: vec4<f32>; var d1: vec4<f32>;
  if (first) { c0 = norm[2u * tid]; d0 = norm[2u * tid + 1u]; }
  if (second) { c1 = norm[2u * (tid + LANES)]; d1 = norm[2u * (tid + LANES) + 1u]; }
  if (second) { a1 = joined(row, 2u * (tid + LANES)); b1 = joined(row, 2u * (tid + LANES) + 1u); }
  var s = 0.0;
  if (first) {
    a0 = joined(row, 2u * tid);
    b0 = joined(row, 2u * tid + 1u);
    s = settle(row, 2u * tid, a0, b0);
  }
  if (second) { s += settle(row, 2u * (tid + LANES), a1, b1); }
  for (var i = tid + 2u * LANES; i < K / 8u; i += LANES) { s += settle(row, 2u * i, joined(row, 2u * i), joined(row, 2u * i + 1u)); }
  sums[tid] = s;
  workgroupBarrier();
  if (tid < FOLDED) {
    var t = 0.0;
    for (var i = tid; i < LANES; i += FOLDED) { t += sums[i]; }
    folded[tid] = t;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < FOLDED; i++) { total += folded[i]; }
  let inverse = inverseSqrt(total / f32(K) + EPS);
  if (first) { x[word_of(wg.x, tid, K)] = normed(a0, b0, inverse, c0, d0); }
  if (second) { x[word_of(wg.x, tid + LANES, K)] = normed(a1, b1, inverse, c1, d1); }
  for (var i = tid + 2u * LANES; i < K / 8u; i += LANES) { x[word_of(wg.x, i, K)] = normed(residual[row + 2u * i], residual[row + 2u * i + 1u], inverse, norm[2u * i], norm[2u * i + 1u]); }
}
`,
  workgroupBytes: ({ lanes = LANES }) => 4 * (lanes + 16),
  call: ({ K, eps, pieces = 0, apart = 16, hasBias = false, panels = false, lanes = LANES }) => ({
    overrides: { K, EPS: eps, PIECES: pieces, APART: apart, HAS_BIAS: hasBias, PANELS: panels, LANES: lanes },
    workgroups: (T) => [T, 1, 1],
  }),
  sizes: ({ K, pieces = 0, apart = 16, hasBias = false, panels = false }, T) => ({
    residual: 4 * (apart * pieces + T) * K,
    norm: 4 * K,
    bias: hasBias ? 4 * K : 0,
    x: 16 * eightsWords(T, K, panels),
  }),
});

/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g, :] over the keys that position start + t sees, g =
 * ⌊h·G/H⌋; q and out [T, H, Hd] f32, caches [positions, G, Hd]. Twin of core/ops/attention.ts, both its steps in one.
 * One workgroup of 128 per head and query, at any context length. It goes through the keys 128 at a time, one per
 * invocation, keeps the running maximum and sum ("online" softmax, Milakov & Gimelshein 2018, arXiv 1805.02867), then
 * turns to one output component per invocation (two where Hd > 128; keys are shared out where Hd < 128). Workgroup
 * memory 2 KiB. The order of all sums depends on the position alone, so chunks of any size give the same bits. Limited
 * by the bytes of the cache, read once for each of the H/G heads of a group.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, cacheOverrideWgsl, keyAtWgsl, valueAtWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Largest Hd this kernel computes. */
export const maxHeadDim = 256;

/** As core's AttentionShape, with the cache's element type. */
export type AttentionParams = Readonly<{ H: number; G: number; Hd: number; window: number | null; dtype: CacheDType }>;

/** Sizes of queries, or of what is made of them, of keys or values, and of attention weights. */
export const attentionSizes = (
  { H, G, Hd, dtype }: AttentionParams,
  T: number,
  start: number,
): Record<"rows" | "cache" | "weights", number> => ({
  rows: 4 * T * H * Hd,
  cache: (start + T) * G * Hd * cacheBytes[dtype],
  weights: 4 * T * H * (start + T),
});

export const attention: Card<"step" | "q" | "keys" | "values" | "out", AttentionParams> = makeCard({
  name: "attention",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, Hd: u32, window: u32, scale: f32, spread: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
${cacheOverrideWgsl}
${keyAtWgsl}
${valueAtWgsl}

const LANES = 128u;
const FOLDED = 16u;
const LOWEST = -0x1.fffffep+127f;
var<workgroup> query: array<f32, 256>;
var<workgroup> scores: array<f32, LANES>;
var<workgroup> weights: array<f32, LANES>;
var<workgroup> maxima: array<f32, FOLDED>; // of eight scores each
var<workgroup> sums: array<f32, FOLDED>; // of eight weights each

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = workgroup.x;
  let t = workgroup.y;
  let row = (t * params.H + h) * params.Hd;
  let group = h * params.G / params.H;
  let last = step.start + t;
  var base = 0u;
  if (params.window > 0u && last + 1u > params.window) { base = last + 1u - params.window; }
  for (var i = lane; i < params.Hd; i += LANES) { query[i] = q[row + i]; }
  workgroupBarrier();

  // For the values, invocations stand side by side along Hd, and what is left of them shares the keys.
  let column = lane % params.spread;
  let part = lane / params.spread;
  let parts = LANES / params.spread;
  var most = LOWEST;
  var total = 0.0;
  var mixed = vec2(0.0);
  var carried = 0.0; // what sums so far are multiplied by when the maximum rises
  for (; base <= last; base += LANES) {
    let s = base + lane;
    var score = LOWEST;
    if (s <= last) {
      let key = (s * params.G + group) * params.Hd;
      var dot = 0.0;
      for (var i = 0u; i < params.Hd; i++) { dot += query[i] * keyAt(key + i); }
      score = dot * params.scale;
    }
    scores[lane] = score;
    workgroupBarrier();
    if (lane < FOLDED) {
      var highest = scores[lane * 8u];
      for (var j = 1u; j < 8u; j++) { highest = max(highest, scores[lane * 8u + j]); }
      maxima[lane] = highest;
    }
    workgroupBarrier();
    var higher = most;
    for (var j = 0u; j < FOLDED; j++) { higher = max(higher, maxima[j]); }
    carried = 0.0;
    if (most != LOWEST) { carried = exp(most - higher); }
    most = higher;
    var weight = 0.0;
    if (s <= last) { weight = exp(score - most); }
    weights[lane] = weight;
    workgroupBarrier();
    if (lane < FOLDED) {
      var sum = 0.0;
      for (var j = 0u; j < 8u; j++) { sum += weights[lane * 8u + j]; }
      sums[lane] = sum;
    }
    workgroupBarrier();
    total *= carried;
    for (var j = 0u; j < FOLDED; j++) { total += sums[j]; }
    mixed *= carried;
    let seen = min(LANES, last + 1u - base);
    for (var half = 0u; half < 2u; half++) {
      let i = column + half * LANES;
      if (i >= params.Hd) { continue; }
      var sum = 0.0;
      for (var j = part; j < seen; j += parts) { sum += weights[j] * valueAt(((base + j) * params.G + group) * params.Hd + i); }
      mixed[half] += sum;
    }
  }
  for (var half = 0u; half < 2u; half++) {
    let i = column + half * LANES;
    workgroupBarrier();
    scores[lane] = mixed[half];
    workgroupBarrier();
    if (part == 0u && i < params.Hd) {
      var sum = 0.0;
      for (var p = 0u; p < parts; p++) { sum += scores[p * params.spread + column]; }
      out[row + i] = sum / total;
    }
  }
}
`,
  workgroupBytes: 4 * (256 + 128 + 128 + 16 + 16),
  call: ({ H, G, Hd, window, dtype }) => ({
    // `spread`: Hd rounded up to a power of two that divides the workgroup.
    params: { H, G, Hd, window: window ?? 0, scale: 1 / Math.sqrt(Hd), spread: Math.min(128, 2 ** Math.ceil(Math.log2(Hd))) },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [H, T, 1],
  }),
  sizes(shape, T, start) {
    const { rows, cache } = attentionSizes(shape, T, start);
    return { q: rows, keys: cache, values: cache, out: rows };
  },
});

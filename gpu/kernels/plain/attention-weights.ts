/**
 * weights[t, h, s] = softmax_s(q[t, h] · k[s, g] / √Hd) over the keys that position start + t sees, 0 elsewhere; q [T,
 * H, Hd], keys [positions, G, Hd], weights [T, H, start + T] f32. Twin of attentionWeights in core/ops/attention.ts:
 * for traces and steering, where somebody looks at the weights; otherwise attention.ts. One workgroup of 128 per head
 * and query; scores wait in `weights` itself. Workgroup memory 1.5 KiB. Limited by the cache's bytes.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { cacheOverrideWgsl, keyAtWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type AttentionParams, attentionSizes } from "./attention.ts";

export const attentionWeights: Card<"step" | "q" | "keys" | "weights", AttentionParams> = makeCard({
  name: "attention-weights",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, Hd: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
${cacheOverrideWgsl}
${keyAtWgsl}

const LANES = 128u;
const LOWEST = -0x1.fffffep+127f;
var<workgroup> query: array<f32, 256>;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = workgroup.x;
  let t = workgroup.y;
  let group = h * params.G / params.H;
  let S = step.start + step.T;
  let row = (t * params.H + h) * S;
  let last = step.start + t;
  var first = 0u;
  if (params.window > 0u && last + 1u > params.window) { first = last + 1u - params.window; }
  for (var i = lane; i < params.Hd; i += LANES) { query[i] = q[(t * params.H + h) * params.Hd + i]; }
  workgroupBarrier();

  var most = LOWEST;
  for (var s = lane; s < S; s += LANES) {
    var score = 0.0;
    if (s >= first && s <= last) {
      let key = (s * params.G + group) * params.Hd;
      var dot = 0.0;
      for (var i = 0u; i < params.Hd; i++) { dot += query[i] * keyAt(key + i); }
      score = dot * params.scale;
      most = max(most, score);
    }
    weights[row + s] = score;
  }
  partial[lane] = most;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { partial[lane] = max(partial[lane], partial[lane + width]); }
  }
  workgroupBarrier();
  most = partial[0];
  workgroupBarrier();
  var total = 0.0;
  for (var i = lane; i < S; i += LANES) {
    if (i >= first && i <= last) {
      let weight = exp(weights[row + i] - most);
      weights[row + i] = weight;
      total += weight;
    }
  }
  partial[lane] = total;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { partial[lane] += partial[lane + width]; }
  }
  workgroupBarrier();
  for (var s = lane; s < S; s += LANES) { weights[row + s] /= partial[0]; }
}
`,
  workgroupBytes: 4 * (256 + 128),
  call: ({ H, G, Hd, window, dtype }) => ({
    params: { H, G, Hd, window: window ?? 0, scale: 1 / Math.sqrt(Hd) },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [H, T, 1],
  }),
  sizes(shape, T, start) {
    const { rows, cache, weights } = attentionSizes(shape, T, start);
    return { q: rows, keys: cache, weights };
  },
});

/**
 * out[t, h, :] = Σ_s weights[t, h, s] · v[s, g, :] over the keys that position start + t sees; weights [T, H, start +
 * T], out [T, H, Hd] f32, values [positions, G, Hd]. Twin of attentionMix in core/ops/attention.ts: follows
 * attention-weights.ts. One workgroup of 64 per head and query, one output component per invocation. Limited by the
 * cache's bytes.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { cacheOverrideWgsl, valueAtWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type AttentionParams, attentionSizes } from "./attention.ts";

export const attentionMix: Card<"step" | "weights" | "values" | "out", AttentionParams> = makeCard({
  name: "attention-mix",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, Hd: u32, window: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
${cacheOverrideWgsl}
${valueAtWgsl}

const LANES = 64u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = workgroup.x;
  let t = workgroup.y;
  let group = h * params.G / params.H;
  let row = (t * params.H + h) * (step.start + step.T);
  let last = step.start + t;
  var first = 0u;
  if (params.window > 0u && last + 1u > params.window) { first = last + 1u - params.window; }
  for (var i = lane; i < params.Hd; i += LANES) {
    var sum = 0.0;
    for (var s = first; s <= last; s++) { sum += weights[row + s] * valueAt((s * params.G + group) * params.Hd + i); }
    out[(t * params.H + h) * params.Hd + i] = sum;
  }
}
`,
  call: ({ H, G, Hd, window, dtype }) => ({
    params: { H, G, Hd, window: window ?? 0 },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [H, T, 1],
  }),
  sizes(shape, T, start) {
    const { rows, cache, weights } = attentionSizes(shape, T, start);
    return { weights, values: cache, out: rows };
  },
});

/**
 * cache[start + t, :] = x[t, :] for keys and values; k, v [T, G·Hd] f32, caches [positions, G·Hd] f32 or f16.
 * The step of core/model/llama.ts that appends to its cache. f16 rounds to nearest; magnitudes beyond 65504 are clamped
 * to it, since WGSL leaves their conversion open, and their position is noted (wgsl/cache.ts). One invocation two
 * elements of each. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, cacheOverrideWgsl, notedWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** width = G · Hd, an even number. */
export const cacheWrite: Card<"step" | "k" | "v" | "keys" | "values" | "noted", { readonly width: number; readonly dtype: CacheDType }> =
  makeCard({
    name: "cache-write",
    wgsl: /* wgsl */ `
${stepWgsl}
struct Params { width: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<u32>;
@group(0) @binding(5) var<storage, read_write> noted: array<atomic<u32>>;
@group(0) @binding(6) var<uniform> params: Params;
${cacheOverrideWgsl}
${notedWgsl}

const WORKGROUP = 64u;
const F16_MAX = vec2(65504.0);

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let pairs = params.width / 2u;
  let i = workgroup.x * WORKGROUP + lane;
  if (i >= pairs) { return; }
  let source = workgroup.y * pairs + i;
  let slot = (step.start + workgroup.y) * pairs + i;
  if (CACHE_F16) {
    let held = all(abs(k[source]) <= F16_MAX) && all(abs(v[source]) <= F16_MAX);
    if (!held) { atomicMax(&noted[0], FIRST_NOTED - (step.start + workgroup.y)); }
    keys[slot] = pack2x16float(clamp(k[source], -F16_MAX, F16_MAX));
    values[slot] = pack2x16float(clamp(v[source], -F16_MAX, F16_MAX));
  } else {
    keys[slot * 2u] = bitcast<u32>(k[source].x);
    keys[slot * 2u + 1u] = bitcast<u32>(k[source].y);
    values[slot * 2u] = bitcast<u32>(v[source].x);
    values[slot * 2u + 1u] = bitcast<u32>(v[source].y);
  }
}
`,
    call: ({ width, dtype }) => ({
      params: { width },
      overrides: { CACHE_F16: dtype === "f16" },
      workgroups: (T) => [Math.ceil(width / 128), T, 1],
    }),
    sizes({ width, dtype }, T, start) {
      const cache = (start + T) * width * cacheBytes[dtype];
      return { k: 4 * T * width, v: 4 * T * width, keys: cache, values: cache, noted: 4 };
    },
  });

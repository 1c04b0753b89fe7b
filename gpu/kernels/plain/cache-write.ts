/**
 * cache[start + t, :] = x[t, :] for keys and values; k, v [T, G·Hd] f32, caches [positions, G·Hd] f32 or f16.
 * The step of core/model/llama.ts that appends to its cache. f16 rounds to nearest; magnitudes beyond 65504 are clamped to it, since
 * WGSL leaves their conversion open. One invocation two elements of each. Limited by latency.
 */
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record, type Workgroups } from "../../pipeline/recorder.ts";
import { type CacheDType, cacheOverrideWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export const cacheWrite: Kernel<"step" | "k" | "v" | "keys" | "values", "width"> = {
  name: "cache-write",
  bindings: { step: "uniform", k: "read", v: "read", keys: "readWrite", values: "readWrite" },
  params: { width: "u32" },
  overrides: { CACHE_F16: "bool" },
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { width: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;
${cacheOverrideWgsl}

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
};

/** width = G · Hd, an even number. */
export function recordCacheWrite(
  recorder: Recorder,
  buffers: { step: BufferArg; k: BufferArg; v: BufferArg; keys: BufferArg; values: BufferArg },
  { width, dtype }: { width: number; dtype: CacheDType },
  label: string = cacheWrite.name,
): void {
  const workgroups = (T: number): Workgroups => [Math.ceil(width / 128), T, 1];
  record(recorder, { kernel: cacheWrite, buffers, params: { width }, overrides: { CACHE_F16: dtype === "f16" }, workgroups, label });
}

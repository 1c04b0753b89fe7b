/**
 * RoPE and the caches for T rows, each the next token of a sequence of its own (wgsl/rows.ts): q [T, H, HEAD] = turned q_in; turned k_in, and
 * v_in [T, G, HEAD], at position rows[t].start of slot rows[t].slot in caches [slots, CAPACITY, G, HEAD] f32 or f16, f16 as cache-write.ts; a position
 * beyond f16 is noted in the slot's word of `noted`. Inputs f32. table [positions, HEAD/2] (cos, sin) as in rope.ts. One invocation per pair of q, or per
 * two neighbouring pairs of k and v. HEAD a multiple of 4. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, cacheOverrideWgsl, notedWgsl } from "../../wgsl/cache.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** `capacity`: positions of a slot. */
export type BatchRopeShape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  capacity: number;
  slots: number;
  dtype: CacheDType;
}>;

export const batchRope: Card<"rows" | "q_in" | "k_in" | "v_in" | "table" | "q" | "keys" | "values" | "noted", BatchRopeShape> = makeCard({
  name: "batch-rope",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, HEAD: u32, CAPACITY: u32 }
@group(0) @binding(0) ${rowsBindingWgsl}
@group(0) @binding(1) var<storage, read> q_in: array<f32>;
@group(0) @binding(2) var<storage, read> k_in: array<f32>;
@group(0) @binding(3) var<storage, read> v_in: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<vec2<f32>>; // cos, sin
@group(0) @binding(5) var<storage, read_write> q: array<f32>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<storage, read_write> noted: array<atomic<u32>>;
@group(0) @binding(9) var<uniform> params: Params;
${cacheOverrideWgsl}
${notedWgsl}

const LANES = 128u;
const F16_MAX = vec2(65504.0);

fn held(x: vec2<f32>) -> bool { return all(abs(x) <= F16_MAX); }
fn halves(x: vec2<f32>) -> u32 { return pack2x16float(clamp(x, -F16_MAX, F16_MAX)); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.x;
  let start = rows[t].start;
  let slot = rows[t].slot;
  let half = params.HEAD / 2u;
  let pair = workgroup.y * LANES + lane;
  let pairs = params.H * half;
  if (pair < pairs) {
    let at = (t * params.H + pair / half) * params.HEAD + pair % half;
    let turn = table[start * half + pair % half];
    let a = q_in[at];
    let b = q_in[at + half];
    q[at] = a * turn.x - b * turn.y;
    q[at + half] = b * turn.x + a * turn.y;
  }
  // Behind those of q the pairs of k and v, two at a time: a word of an f16 cache holds two elements.
  let quad = pair - pairs;
  if (pair >= pairs && quad < params.G * (half / 2u)) {
    let i = quad % (half / 2u) * 2u;
    let head = quad / (half / 2u);
    let at = (t * params.G + head) * params.HEAD + i;
    let one = table[start * half + i];
    let two = table[start * half + i + 1u];
    let a = vec2(k_in[at], k_in[at + 1u]);
    let b = vec2(k_in[at + half], k_in[at + half + 1u]);
    let low = a * vec2(one.x, two.x) - b * vec2(one.y, two.y);
    let high = b * vec2(one.x, two.x) + a * vec2(one.y, two.y);
    let v = vec2(v_in[at], v_in[at + 1u]);
    let w = vec2(v_in[at + half], v_in[at + half + 1u]);
    let to = ((slot * params.CAPACITY + start) * params.G + head) * params.HEAD + i;
    if (CACHE_F16) {
      if (!(held(low) && held(high) && held(v) && held(w))) { atomicMax(&noted[slot], FIRST_NOTED - start); }
      keys[to / 2u] = halves(low);
      keys[(to + half) / 2u] = halves(high);
      values[to / 2u] = halves(v);
      values[(to + half) / 2u] = halves(w);
    } else {
      keys[to] = bitcast<u32>(low.x);
      keys[to + 1u] = bitcast<u32>(low.y);
      keys[to + half] = bitcast<u32>(high.x);
      keys[to + half + 1u] = bitcast<u32>(high.y);
      values[to] = bitcast<u32>(v.x);
      values[to + 1u] = bitcast<u32>(v.y);
      values[to + half] = bitcast<u32>(w.x);
      values[to + half + 1u] = bitcast<u32>(w.y);
    }
  }
}
`,
  call: ({ H, G, Hd, capacity, dtype }) => ({
    params: { H, G, HEAD: Hd, CAPACITY: capacity },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [T, Math.ceil((H * (Hd / 2) + G * (Hd / 4)) / 128), 1],
  }),
  sizes({ H, G, Hd, capacity, slots, dtype }, T) {
    const cache = slots * capacity * G * Hd * cacheBytes[dtype];
    const own = 4 * T * G * Hd;
    return {
      q_in: 4 * T * H * Hd,
      k_in: own,
      v_in: own,
      table: 4 * capacity * Hd,
      q: 4 * T * H * Hd,
      keys: cache,
      values: cache,
      noted: 4 * slots,
    };
  },
});

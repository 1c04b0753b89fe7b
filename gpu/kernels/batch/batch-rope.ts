/**
 * RoPE and the caches for T rows, each the next token of a sequence of its own (wgsl/rows.ts): q [T, H, HEAD] = turned q_in; turned k_in, and
 * v_in, at position rows[t].start of slot rows[t].slot in caches [slots, CAPACITY, G, HEAD] f32 or f16, f16 as cache-write.ts; a position beyond f16 is
 * noted in the slot's word of `noted`. Inputs f32: row t of q_in begins at qFirst + t · qStride, of k_in and v_in alike; PIECES > 1: a row is
 * Σ_p of the rows APART · p + t, p < PIECES ascending, as a product in pieces leaves them. table [positions, HEAD/2] (cos, sin)
 * as in rope.ts. One invocation per pair of q, or per two neighbouring pairs of k and v. HEAD a multiple of 4. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, cacheOverrideWgsl, notedWgsl } from "../../wgsl/cache.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Where q, k and v of row 0 begin in their buffers, and how far apart rows lie, in elements. */
export type RowsIn = Readonly<Record<"qFirst" | "kFirst" | "vFirst" | "qStride" | "kvStride", number>>;

/** `capacity`: positions of a slot. */
export type BatchRopeShape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  capacity: number;
  slots: number;
  dtype: CacheDType;
  pieces?: number;
  apart?: number;
}> &
  RowsIn;

export const batchRope: Card<"rows" | "q_in" | "k_in" | "v_in" | "table" | "q" | "keys" | "values" | "noted", BatchRopeShape> = makeCard({
  name: "batch-rope",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, HEAD: u32, CAPACITY: u32, APART: u32, qFirst: u32, kFirst: u32, vFirst: u32, qStride: u32, kvStride: u32 }
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
override PIECES: u32 = 1u;
${notedWgsl}

const LANES = 128u;
const F16_MAX = vec2(65504.0);

// Elements i and i + HEAD / 2 of a head of q, and two neighbours of each half of a head of k or v.
fn queryAt(t: u32, i: u32) -> f32 {
  var x = q_in[params.qFirst + t * params.qStride + i];
  for (var p = 1u; p < PIECES; p++) { x += q_in[params.qFirst + (params.APART * p + t) * params.qStride + i]; }
  return x;
}
fn keysAt(t: u32, i: u32) -> vec2<f32> {
  let at = params.kFirst + i;
  var x = vec2(k_in[at + t * params.kvStride], k_in[at + t * params.kvStride + 1u]);
  for (var p = 1u; p < PIECES; p++) {
    let row = at + (params.APART * p + t) * params.kvStride;
    x += vec2(k_in[row], k_in[row + 1u]);
  }
  return x;
}
fn valuesAt(t: u32, i: u32) -> vec2<f32> {
  let at = params.vFirst + i;
  var x = vec2(v_in[at + t * params.kvStride], v_in[at + t * params.kvStride + 1u]);
  for (var p = 1u; p < PIECES; p++) {
    let row = at + (params.APART * p + t) * params.kvStride;
    x += vec2(v_in[row], v_in[row + 1u]);
  }
  return x;
}
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
    let at = pair / half * params.HEAD + pair % half;
    let turn = table[start * half + pair % half];
    let a = queryAt(t, at);
    let b = queryAt(t, at + half);
    q[t * params.H * params.HEAD + at] = a * turn.x - b * turn.y;
    q[t * params.H * params.HEAD + at + half] = b * turn.x + a * turn.y;
  }
  // Behind those of q the pairs of k and v, two at a time: a word of an f16 cache holds two elements.
  let quad = pair - pairs;
  if (pair >= pairs && quad < params.G * (half / 2u)) {
    let i = quad % (half / 2u) * 2u;
    let at = quad / (half / 2u) * params.HEAD + i;
    let one = table[start * half + i];
    let two = table[start * half + i + 1u];
    let a = keysAt(t, at);
    let b = keysAt(t, at + half);
    let low = a * vec2(one.x, two.x) - b * vec2(one.y, two.y);
    let high = b * vec2(one.x, two.x) + a * vec2(one.y, two.y);
    let v = valuesAt(t, at);
    let w = valuesAt(t, at + half);
    let to = (slot * params.CAPACITY + start) * params.G * params.HEAD + at;
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
  call: ({ H, G, Hd, capacity, dtype, pieces = 1, apart = 16, qFirst, kFirst, vFirst, qStride, kvStride }) => ({
    params: { H, G, HEAD: Hd, CAPACITY: capacity, APART: apart, qFirst, kFirst, vFirst, qStride, kvStride },
    overrides: { CACHE_F16: dtype === "f16", PIECES: pieces },
    workgroups: (T) => [T, Math.ceil((H * (Hd / 2) + G * (Hd / 4)) / 128), 1],
  }),
  sizes({ H, G, Hd, capacity, slots, dtype, pieces = 1, apart = 16, qFirst, kFirst, vFirst, qStride, kvStride }, T) {
    const last = pieces > 1 ? apart * (pieces - 1) + T - 1 : T - 1;
    const cache = slots * capacity * G * Hd * cacheBytes[dtype];
    return {
      q_in: 4 * (qFirst + last * qStride + H * Hd),
      k_in: 4 * (kFirst + last * kvStride + G * Hd),
      v_in: 4 * (vFirst + last * kvStride + G * Hd),
      table: 4 * capacity * Hd,
      q: 4 * T * H * Hd,
      keys: cache,
      values: cache,
      noted: 4 * slots,
    };
  },
});

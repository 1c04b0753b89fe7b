/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g, :] over the keys s ≤ rows[t].start of slot rows[t].slot that a window leaves, g = h · G/H;
 * q and out [T, H, Hd] f32, caches [slots, CAPACITY, G, Hd] f32 or f16. attention.ts for rows of different sequences (wgsl/rows.ts). One workgroup of 128
 * per row and four heads of one g, which read its keys and values once between them, four components a load. It goes through the keys 128 at
 * a time, one per invocation, keeps each head's running maximum and sum (Milakov & Gimelshein 2018, arXiv 1805.02867), then turns to four
 * components of the output per invocation, the keys shared out among the invocations that own the same ones. The order of all sums depends on the
 * position alone. Hd a multiple of 4, at most 256; H one of G. Workgroup memory 10.5 KiB. Limited by the bytes of the caches.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, cacheOverrideWgsl } from "../../wgsl/cache.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Heads that share a reading of keys and values. */
const SHARE = 4;
const heads = ["x", "y", "z", "w"];
/** A line for each head, and a statement for each of four components: what they index is then in registers everywhere. */
const perHead = (line: (head: string, h: number) => string): string => heads.map((head, h) => `${line(head, h)}\n`).join("");
const perFourth = (statement: (component: string, i: number) => string): string => `${heads.map(statement).join(" ")}\n`;

/** As AttentionParams of attention.ts, with the slots and the positions of one. */
export type BatchAttentionShape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  window: number | null;
  dtype: CacheDType;
  slots: number;
  capacity: number;
}>;

export const batchAttention: Card<"rows" | "q" | "keys" | "values" | "out", BatchAttentionShape> = makeCard({
  name: "batch-attention",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, Hd: u32, window: u32, scale: f32, CAPACITY: u32 }
@group(0) @binding(0) ${rowsBindingWgsl}
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;
${cacheOverrideWgsl}

const LANES = 128u;
const SHARE = ${SHARE}u;
const FOLDED = 16u;
const LOWEST = -0x1.fffffep+127f;
var<workgroup> query: array<vec4<f32>, 256>; // [SHARE, Hd/4]
var<workgroup> scores: array<vec4<f32>, LANES>; // of four heads
var<workgroup> weights: array<vec4<f32>, LANES>;
var<workgroup> maxima: array<vec4<f32>, FOLDED>; // of eight scores each
var<workgroup> sums: array<vec4<f32>, FOLDED>; // of eight weights each
var<workgroup> mixed: array<vec4<f32>, LANES>; // a head's components of each part, [parts, Hd/4]

fn fromHalves(w: vec2<u32>) -> vec4<f32> { return vec4(unpack2x16float(w.x), unpack2x16float(w.y)); }
fn wide(low: vec2<u32>, high: vec2<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(vec4(low, high)); }
fn keysAt(i: u32) -> vec4<f32> { // components 4 i … 4 i + 3
  if (CACHE_F16) { return fromHalves(keys[i]); }
  return wide(keys[2u * i], keys[2u * i + 1u]);
}
fn valuesAt(i: u32) -> vec4<f32> {
  if (CACHE_F16) { return fromHalves(values[i]); }
  return wide(values[2u * i], values[2u * i + 1u]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let perGroup = params.H / params.G;
  let quads = (perGroup + SHARE - 1u) / SHARE; // of heads of one g
  let g = workgroup.x / quads;
  let first = g * perGroup + workgroup.x % quads * SHARE; // head
  let heads = min(SHARE, (g + 1u) * perGroup - first);
  let t = workgroup.y;
  let last = rows[t].start;
  let slot = rows[t].slot * params.CAPACITY;
  let fours = params.Hd / 4u;
  var base = 0u;
  if (params.window > 0u && last + 1u > params.window) { base = last + 1u - params.window; }
  for (var i = lane; i < SHARE * fours; i += LANES) {
    var x = vec4(0.0);
    if (i / fours < heads) { x = q[(t * params.H + first) * fours + i]; }
    query[i] = x;
  }
  workgroupBarrier();

  // For the values, invocations stand side by side along Hd, and what is left of them shares the keys.
  let column = lane % fours;
  let part = lane / fours;
  let parts = LANES / fours;
  var most = vec4(LOWEST);
  var total = vec4(0.0);
  // Of four heads, a component each.
${perFourth((_, i) => `  var sum${i} = vec4(0.0);`)}  for (; base <= last; base += LANES) {
    let s = base + lane;
    var score = vec4(LOWEST);
    if (s <= last) {
      let key = ((slot + s) * params.G + g) * fours;
      var dots = vec4(0.0);
      for (var i = 0u; i < fours; i++) {
        let k = keysAt(key + i);
${perHead((head, h) => `        dots.${head} += dot(query[${h}u * fours + i], k);`)}      }
      score = dots * params.scale;
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
    // What sums so far are multiplied by as the maximum rises; before the first keys they are 0.
    let carried = select(exp(most - higher), vec4(0.0), most == vec4(LOWEST));
    most = higher;
    var weight = vec4(0.0);
    if (s <= last) { weight = exp(score - most); }
    weights[lane] = weight;
    workgroupBarrier();
    if (lane < FOLDED) {
      var eighth = vec4(0.0);
      for (var j = 0u; j < 8u; j++) { eighth += weights[lane * 8u + j]; }
      sums[lane] = eighth;
    }
    workgroupBarrier();
    total *= carried;
    for (var j = 0u; j < FOLDED; j++) { total += sums[j]; }
${perFourth((_, i) => `    sum${i} *= carried;`)}    let seen = min(LANES, last + 1u - base);
    if (part < parts) {
      for (var j = part; j < seen; j += parts) {
        let v = valuesAt(((slot + base + j) * params.G + g) * fours + column);
        let w = weights[j];
${perFourth((component, i) => `        sum${i} += w * v.${component};`)}      }
    }
  }
${perHead(
  (head, h) => `  if (${h}u < heads) {
    workgroupBarrier();
    if (part < parts) {
      mixed[lane] = vec4(sum0.${head}, sum1.${head}, sum2.${head}, sum3.${head});
    }
    workgroupBarrier();
    for (var i = lane; i < fours; i += LANES) {
      var all = vec4(0.0);
      for (var p = 0u; p < parts; p++) { all += mixed[p * fours + i]; }
      out[(t * params.H + first + ${h}u) * fours + i] = all / total.${head};
    }
  }`,
)}}
`,
  workgroupBytes: 16 * (256 + 128 + 128 + 16 + 16 + 128),
  call: ({ H, G, Hd, window, dtype, capacity }) => ({
    params: { H, G, Hd, window: window ?? 0, scale: 1 / Math.sqrt(Hd), CAPACITY: capacity },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [G * Math.ceil(H / G / SHARE), T, 1],
  }),
  sizes({ H, G, Hd, dtype, slots, capacity }, T) {
    const cache = slots * capacity * G * Hd * cacheBytes[dtype];
    return { q: 4 * T * H * Hd, keys: cache, values: cache, out: 4 * T * H * Hd };
  },
});

/**
 * The splits of attention-decode.ts for four heads of a kv head at once, over an f16 cache: for each split unnormalized
 * sums Σ_s e^(score_s − m) v[s] and stats (m, Σ_s e^(score_s − m)), for attention-combine.ts. A key at s counts where position −
 * WINDOW < s ≤ position. q [H, 128] f32, rotated; caches [S, G, 128] f16; out [splits, H · 128] f32 in planes (wgsl/fixed16.ts),
 * stats [splits, H]. H / G a multiple of 4. Splits take turns of KEYS = THREADS / 4 keys, one after the other. Sixteen
 * lanes have four keys, all loads on their way at once, a lane eight components; the sixteen scores that this makes are
 * summed by halving, so that each lane ends with that of one key and one head. The 32 lanes of a subgroup share a running
 * maximum; their sums meet in workgroup memory behind the only barrier. Workgroup memory at 128 invocations: 8 KiB.
 * Limited by memory, and by latency in short contexts.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { cacheBytes } from "../../wgsl/cache.ts";
import { fourRowsWgsl, octetWgsl } from "../../wgsl/cached-rows.ts";
import { planeBytes } from "../../wgsl/fixed16.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type DecodeAttentionShape, splitsAt, TWO_EACH } from "./attention-decode.ts";

type Attended = Pick<DecodeAttentionShape, "H" | "G" | "Hd" | "window">;
/** `lanes` invocations a workgroup, `keys` = lanes / 4 of a turn, `atOnce` splits at most. */
export type HeadsAttentionShape = Attended & Readonly<{ lanes: number; keys: number; atOnce: number }>;

/** Heads of a workgroup, and their dimension. */
const HEADS = 4;
const HEAD = 128;
/** By times on one NVIDIA H100, and the position from which on splits pay: before it one workgroup per head is faster. */
const LANES = 128;
export const HEADS_FROM = 832;

/** How it takes a shape; undefined where heads are others. */
export function tuneHeads({ H, G, Hd, window }: Attended): HeadsAttentionShape | undefined {
  if (Hd !== HEAD || (H / G) % HEADS !== 0) return undefined;
  return { H, G, Hd, window, lanes: LANES, keys: LANES / 4, atOnce: Math.max(1, Math.floor((TWO_EACH * HEADS) / H)) };
}

export const attentionHeads: Card<"q" | "k_cache" | "v_cache" | "out" | "stats" | "step", HeadsAttentionShape> = makeCard({
  name: "attention-heads",
  features: ["subgroups"],
  subgroupSize: 32,
  wgsl: /* wgsl */ `
enable subgroups;
${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override WINDOW: u32 = 0xffffffffu;
override THREADS: u32 = 128u;
const LANES = 16u;
override GROUPS: u32 = THREADS / LANES;
override KEYS: u32 = THREADS / 4u;
override UNITS: u32 = THREADS / 32u;
override BLOCKS: u32 = H * 4u;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> step: Step;
// Of each 32 lanes: the sums of four heads, and of each head (m, Σ).
var<workgroup> room: array<vec4<f32>, UNITS * 128>;
var<workgroup> tops: array<vec2<f32>, UNITS * 4>;
${octetWgsl}
struct Queries { a: Octet, b: Octet, c: Octet, d: Octet }
fn query(head: u32, octet: u32) -> Octet { return Octet(q[head * 32u + 2u * octet], q[head * 32u + 2u * octet + 1u]); }
fn product(k: Octet, p: Octet) -> f32 {
  let t = k.a * p.a + k.b * p.b;
  return (t.x + t.y) + (t.z + t.w);
}
fn products(x: vec4<u32>, p: Queries) -> vec4<f32> {
  let k = widened(x);
  return vec4<f32>(product(k, p.a), product(k, p.b), product(k, p.c), product(k, p.d));
}
${fourRowsWgsl}
fn scaled(x: Octet, f: f32) -> Octet { return Octet(x.a * f, x.b * f); }
fn added(x: Octet, y: Octet, f: f32) -> Octet { return Octet(x.a + y.a * f, x.b + y.b * f); }
fn other(v: vec4<f32>, mask: u32) -> vec4<f32> {
  return vec4<f32>(subgroupShuffleXor(v.x, mask), subgroupShuffleXor(v.y, mask), subgroupShuffleXor(v.z, mask), subgroupShuffleXor(v.w, mask));
}
fn kept(a: vec4<f32>, b: vec4<f32>, second: bool, mask: u32) -> vec4<f32> { return select(a, b, second) + other(select(b, a, second), mask); }
// Sums over sixteen lanes of four keys' products with four heads: lane 4 · key + head keeps that one.
fn halved(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, octet: u32) -> f32 {
  let back = (octet & 8u) != 0u;
  let t = kept(kept(a, c, back, 8u), kept(b, d, back, 8u), (octet & 4u) != 0u, 4u);
  let high = (octet & 2u) != 0u;
  let give = select(t.zw, t.xy, high);
  let two = select(t.xy, t.zw, high) + vec2<f32>(subgroupShuffleXor(give.x, 2u), subgroupShuffleXor(give.y, 2u));
  let odd = (octet & 1u) != 0u;
  return select(two.x, two.y, odd) + subgroupShuffleXor(select(two.y, two.x, odd), 1u);
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) size: vec3<u32>,
        @builtin(local_invocation_index) tid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let head = wg.x * 4u;
  let position = step.start;
  let octet = lane % LANES;
  let first = lane - octet;
  let group = tid / LANES;
  let column = head / (H / G) * LANES + octet;
  var at = rows(wg.y * KEYS + group, position, column);
  var keys = load_keys(at);
  var values = load_values(at);
  let p = Queries(query(head, octet), query(head + 1u, octet), query(head + 2u, octet), query(head + 3u, octet));
  var most = -3e38;
  var total = 0.0;
  var a = Octet(vec4<f32>(0.0), vec4<f32>(0.0));
  var b = a;
  var c = a;
  var d = a;
  let stride = size.y * KEYS;
  for (var from_ = wg.y * KEYS; from_ <= position; from_ += stride) {
    let t = halved(products(keys.a, p), products(keys.b, p), products(keys.c, p), products(keys.d, p), octet);
    let v = values;
    if (from_ + stride <= position) {
      at = rows(from_ + stride + group, position, column);
      keys = load_keys(at);
      values = load_values(at);
    }
    // The score of the lane's key and head, then its weight.
    let s = from_ + (octet >> 2u) * GROUPS + group;
    let counts = s <= position && position - s < WINDOW;
    let score = select(-3e38, t * inverseSqrt(128.0), counts);
    var next = max(most, score);
    for (var mask = 4u; mask < 32u; mask *= 2u) { next = max(next, subgroupShuffleXor(next, mask)); }
    let before = exp(most - next);
    let w = select(0.0, exp(score - next), counts);
    total = total * before + w;
    most = next;
    if (from_ >= stride) {
      a = scaled(a, subgroupShuffle(before, first));
      b = scaled(b, subgroupShuffle(before, first + 1u));
      c = scaled(c, subgroupShuffle(before, first + 2u));
      d = scaled(d, subgroupShuffle(before, first + 3u));
    }
    for (var i = 0u; i < 4u; i++) {
      let x = widened(select(select(v.a, v.b, i == 1u), select(v.c, v.d, i == 3u), i > 1u));
      a = added(a, x, subgroupShuffle(w, first + 4u * i));
      b = added(b, x, subgroupShuffle(w, first + 4u * i + 1u));
      c = added(c, x, subgroupShuffle(w, first + 4u * i + 2u));
      d = added(d, x, subgroupShuffle(w, first + 4u * i + 3u));
    }
  }
  for (var mask = 4u; mask < 32u; mask *= 2u) { total += subgroupShuffleXor(total, mask); }
  // The halves of 32 lanes add up: two heads by the first, two by the second.
  let back = (lane & LANES) != 0u;
  let unit = tid / 32u;
  let put = unit * 128u + u32(back) * 64u + 2u * octet;
  room[put] = kept(a.a, c.a, back, 16u);
  room[put + 1u] = kept(a.b, c.b, back, 16u);
  room[put + 32u] = kept(b.a, d.a, back, 16u);
  room[put + 33u] = kept(b.b, d.b, back, 16u);
  if (!back && octet < 4u) { tops[unit * 4u + octet] = vec2<f32>(most, total); }
  workgroupBarrier();
  for (var i = tid; i < 128u; i += THREADS) {
    let mine = i / 32u;
    var m = -3e38;
    for (var u = 0u; u < UNITS; u++) { m = max(m, tops[4u * u + mine].x); }
    var x = vec4<f32>(0.0);
    var l = 0.0;
    for (var u = 0u; u < UNITS; u++) {
      let top = tops[4u * u + mine];
      let f = exp(top.x - m);
      x += room[128u * u + i] * f;
      l += top.y * f;
    }
    let quad = head * 32u + i;
    out[(8u * wg.y + (quad & 7u)) * BLOCKS + (quad >> 3u)] = x;
    if (i % 32u == 0u) { stats[wg.y * H + head + mine] = vec2<f32>(m, l); }
  }
}
`,
  workgroupBytes: ({ lanes }) => 65 * lanes,
  call: ({ H, G, window, lanes, keys, atOnce }) => ({
    overrides: { H, G, WINDOW: window ?? 0xffffffff, THREADS: lanes },
    workgroups: (_T, start) => [H / HEADS, splitsAt(start, keys, atOnce), 1],
  }),
  sizes({ H, G, Hd, keys, atOnce }, _T, start) {
    const cache = cacheBytes.f16 * (start + 1) * G * Hd;
    const splits = splitsAt(start, keys, atOnce);
    return { q: 4 * H * Hd, k_cache: cache, v_cache: cache, out: splits * planeBytes(H * Hd), stats: 8 * splits * H };
  },
});

/**
 * out[h, d] = Σ_s softmax_s(q[h] · k[s] / √HEAD) v[s, d] for one query at step.start, over the cache: KEYS keys per
 * workgroup, for HEADS heads of one kv head, which it reads once for all of them. q [H, HEAD] f32, rotated; caches [S,
 * G, HEAD] f16 or f32. A key at s counts where position − WINDOW < s ≤ position. SPLIT false (position < KEYS): out [H · HEAD]
 * f32 in planes (wgsl/fixed16.ts). SPLIT true: the same unnormalized for each split [splits, H · HEAD], and stats
 * [splits, H] = (largest score, Σ exp), for attention-combine.ts; splits = position / KEYS + 1. HEAD a multiple of 8,
 * at most 256; KEYS a multiple of 32; HEADS 1, or 2 where H / G is even. Four threads a key for the scores, then HEAD /
 * 8 threads a value row, loaded before the scores; sums in fixed order, whatever HEADS is. Workgroup memory at HEAD
 * 128: 21 KiB with KEYS 128, 12 KiB with KEYS 64 and HEADS 2. Limited by latency, in long contexts by memory.
 */
import { type Card, makeCard, type Span, workgroupBytes } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes } from "../../wgsl/cache.ts";
import { planeBytes } from "../../wgsl/fixed16.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { ONE_ROUND, type WorkgroupLimits } from "../../wgsl/teams.ts";

/** The query's heads over the cache: `keys` positions and `heads` heads per workgroup. */
export interface DecodeAttentionShape {
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly window: number | null;
  readonly cache: CacheDType;
  readonly keys: number;
  readonly heads: 1 | 2;
  /** A workgroup for each split of `keys` keys; else one for all of them, at most `keys`. */
  readonly split: boolean;
}

/** Splits that `keys` keys each make of the positions up to `position`. */
export const splitsAt = (position: number, keys: number): number => Math.floor(position / keys) + 1;

/** Keys a split holds. */
export const SPLIT_KEYS = 64;

/** Splits there is room for: those of a context, up to a power of two. */
export const splitsOf = (context: number): number => 2 ** Math.ceil(Math.log2(Math.ceil(context / SPLIT_KEYS)));

/** One way to go through the cache, and the positions of the query for which it is taken. */
export type DecodeAttention = Readonly<{ shape: DecodeAttentionShape; positions: Span }>;

/**
 * Few keys: one workgroup per head, of 128 keys where the device allows 512 invocations and their memory. More: splits,
 * of fewer keys each, so that more workgroups share them. Many, so that workgroups of one head would not run all at
 * once: two heads share one.
 */
export function tuneAttention(
  { H, G, Hd, window, cache }: Pick<DecodeAttentionShape, "H" | "G" | "Hd" | "window" | "cache">,
  { invocations, bytes }: WorkgroupLimits,
): Readonly<Record<"few" | "more" | "many", DecodeAttention>> {
  const few = (keys: number): DecodeAttentionShape => ({ H, G, Hd, window, cache, keys, heads: 1, split: false });
  const most = 4 * 128 <= invocations && workgroupBytes(attentionDecode, few(128)) <= bytes ? 128 : 64;
  const heads = (H / G) % 2 === 0 ? 2 : 1;
  const many = Math.max(most, SPLIT_KEYS * Math.floor(ONE_ROUND / H));
  const splits = { H, G, Hd, window, cache, keys: SPLIT_KEYS, split: true };
  return {
    few: { shape: few(most), positions: { from: 0, to: most } },
    more: { shape: { ...splits, heads: 1 }, positions: { from: most, to: many } },
    many: { shape: { ...splits, heads }, positions: { from: many, to: Infinity } },
  };
}

/** Value rows that the threads of a workgroup read at a time: as many as they are enough for, at most all. */
const partsOf = (keys: number, Hd: number): number => Math.min(keys, Math.floor((4 * keys) / (Hd / 8)));

export const attentionDecode: Card<"q" | "k_cache" | "v_cache" | "out" | "stats" | "step", DecodeAttentionShape> = makeCard({
  name: "attention-decode",
  wgsl: /* wgsl */ `
${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override WINDOW: u32 = 0xffffffffu;
override KEYS: u32 = 64u;
override SPLIT: bool = false;
override HEADS: u32 = 1u;
override LANES: u32 = HEAD / 8u;
override THREADS: u32 = 4u * KEYS;
override PARTS: u32 = 16u;
override TURNS: u32 = (KEYS + PARTS - 1u) / PARTS;
override BLOCKS: u32 = (H * HEAD + 31u) / 32u;
override CACHE_F16: bool = true;
override WORDS: u32 = select(2u, 1u, CACHE_F16);
const VALUES = 8;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> step: Step;
var<workgroup> dots: array<f32, HEADS * THREADS>;
var<workgroup> weight: array<f32, HEADS * KEYS>;
var<workgroup> fold: array<f32, HEADS * 16>;
var<workgroup> totals: array<f32, HEADS * 16>;
var<workgroup> sums: array<f32, PARTS * 8 * (LANES + 1)>;
struct Octet { a: vec4<f32>, b: vec4<f32> }
fn widened(x: vec4<u32>, y: vec4<u32>) -> Octet {
  if (CACHE_F16) {
    return Octet(vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y)), vec4<f32>(unpack2x16float(x.z), unpack2x16float(x.w)));
  }
  return Octet(bitcast<vec4<f32>>(x), bitcast<vec4<f32>>(y));
}
fn largest_of(h: u32) -> f32 {
  var m = fold[h * 16u];
  for (var i = 1u; i < 16u; i++) { m = max(m, fold[h * 16u + i]); }
  return m;
}
fn total_of(h: u32) -> f32 {
  var t = 0.0;
  for (var i = 0u; i < 16u; i++) { t += totals[h * 16u + i]; }
  return t;
}
fn put_sums(at: u32, low: vec4<f32>, high: vec4<f32>) {
  for (var j = 0u; j < 4u; j++) {
    sums[at + j * (LANES + 1u)] = low[j];
    sums[at + (4u + j) * (LANES + 1u)] = high[j];
  }
}
fn put_out(tid: u32, head: u32, h: u32, split: u32) {
  let l = total_of(h);
  for (var d = tid; d < HEAD; d += THREADS) {
    let from_ = (d & 7u) * (LANES + 1u) + (d >> 3u);
    var x = 0.0;
    for (var p = 0u; p < PARTS; p++) { x += sums[p * 8u * (LANES + 1u) + from_]; }
    let k = (head + h) * HEAD + d;
    out[4u * ((8u * split + ((k & 31u) >> 2u)) * BLOCKS + (k >> 5u)) + (k & 3u)] = select(x / l, x, SPLIT);
  }
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let head = wg.x * HEADS;
  let kv = head / (H / G);
  let position = step.start;
  let first = wg.y * KEYS;
  let quarter = tid & 3u;
  let key = min(first + (tid >> 2u), position);
  let scale = inverseSqrt(f32(HEAD));
  // What is left of the threads idles.
  let part = min(tid / LANES, PARTS);
  let octet = tid % LANES;
  var values: array<vec4<u32>, VALUES>;
  for (var j = 0u; j < TURNS; j++) {
    let at = ((min(first + part + j * PARTS, position) * G + kv) * LANES + octet) * WORDS;
    values[j * WORDS] = v_cache[at];
    if (!CACHE_F16) { values[2u * j + 1u] = v_cache[at + 1u]; }
  }
  var score = vec4<f32>(0.0);
  var score2 = vec4<f32>(0.0);
  for (var c = quarter; c < LANES; c += 4u) {
    let word = ((key * G + kv) * LANES + c) * WORDS;
    let k = widened(k_cache[word], k_cache[word + WORDS - 1u]);
    let at = (head * LANES + c) * 2u;
    score += k.a * q[at] + k.b * q[at + 1u];
    if (HEADS == 2u) { score2 += k.a * q[at + 2u * LANES] + k.b * q[at + 2u * LANES + 1u]; }
  }
  dots[tid] = (score.x + score.y) + (score.z + score.w);
  if (HEADS == 2u) { dots[THREADS + tid] = (score2.x + score2.y) + (score2.z + score2.w); }
  workgroupBarrier();
  // An invocation the score of one key and head: tid / KEYS.
  if (tid < HEADS * KEYS) {
    let s = first + tid % KEYS;
    let alive = s <= position && position - s < WINDOW;
    weight[tid] = select(-3e38, ((dots[4u * tid] + dots[4u * tid + 1u]) + (dots[4u * tid + 2u] + dots[4u * tid + 3u])) * scale, alive);
  }
  workgroupBarrier();
  // Sixteen invocations per head.
  let own = tid / 16u * KEYS + tid % 16u;
  if (tid < HEADS * 16u) {
    var m = weight[own];
    for (var i = 16u; i < KEYS; i += 16u) { m = max(m, weight[own + i]); }
    fold[tid] = m;
  }
  workgroupBarrier();
  if (tid < HEADS * KEYS) {
    let largest = largest_of(tid / KEYS);
    weight[tid] = select(0.0, exp(weight[tid] - largest), weight[tid] > -3e38);
  }
  workgroupBarrier();
  if (tid < HEADS * 16u) {
    var t = 0.0;
    for (var i = 0u; i < KEYS; i += 16u) { t += weight[own + i]; }
    totals[tid] = t;
  }
  var low = vec4<f32>(0.0);
  var high = vec4<f32>(0.0);
  var low2 = vec4<f32>(0.0);
  var high2 = vec4<f32>(0.0);
  for (var j = 0u; j < TURNS; j++) {
    let v = widened(values[j * WORDS], values[(j + 1u) * WORDS - 1u]);
    let s = part + j * PARTS;
    let w = select(0.0, weight[min(s, KEYS - 1u)], s < KEYS);
    low += v.a * w;
    high += v.b * w;
    if (HEADS == 2u) {
      let w2 = select(0.0, weight[KEYS + min(s, KEYS - 1u)], s < KEYS);
      low2 += v.a * w2;
      high2 += v.b * w2;
    }
  }
  let at = part * 8u * (LANES + 1u) + octet;
  if (part < PARTS) { put_sums(at, low, high); }
  workgroupBarrier();
  put_out(tid, head, 0u, wg.y);
  if (HEADS == 2u) {
    workgroupBarrier();
    if (part < PARTS) { put_sums(at, low2, high2); }
    workgroupBarrier();
    put_out(tid, head, 1u, wg.y);
  }
  if (SPLIT && tid < HEADS) { stats[wg.y * H + head + tid] = vec2<f32>(largest_of(tid), total_of(tid)); }
}
`,
  workgroupBytes({ Hd, keys, heads }) {
    const lanes = Hd / 8;
    const sums = partsOf(keys, Hd) * 8 * (lanes + 1);
    return 4 * (heads * (4 * keys + keys + 16 + 16) + sums);
  },
  emits: ["VALUES"],
  call: ({ H, G, Hd, window, cache, keys, heads, split }) => ({
    overrides: {
      H,
      G,
      HEAD: Hd,
      WINDOW: window ?? 0xffffffff,
      KEYS: keys,
      SPLIT: split,
      HEADS: heads,
      PARTS: partsOf(keys, Hd),
      CACHE_F16: cache === "f16",
    },
    emitted: { VALUES: cache === "f16" ? 8 : 16 },
    workgroups: (_T, start) => [H / heads, split ? splitsAt(start, keys) : 1, 1],
  }),
  sizes({ H, G, Hd, cache: dtype, keys, split }, _T, start) {
    const cache = cacheBytes[dtype] * (start + 1) * G * Hd;
    const splits = splitsAt(start, keys);
    // Without splits `stats` is bound and not written.
    return {
      q: 4 * H * Hd,
      k_cache: cache,
      v_cache: cache,
      out: (split ? splits : 1) * planeBytes(H * Hd),
      stats: split ? 8 * splits * H : 0,
    };
  },
});

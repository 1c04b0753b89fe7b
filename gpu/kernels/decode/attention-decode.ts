/**
 * out[h, d] = Σ_s softmax_s(q[h] · k[s] / √HEAD) v[s, d] for one query at step.start, over the cache: a workgroup goes
 * through the keys of a split, KEYS at a time, for HEADS heads of one kv head, and reads them once for all of these. q [H,
 * HEAD] f32, rotated; caches [S, G, HEAD] f16 or f32. A key at s counts where position − WINDOW < s ≤ position. SPLIT
 * false (position < KEYS): out [H · HEAD] f32 in planes (wgsl/fixed16.ts). SPLIT true: the same unnormalized for each
 * split [splits, H · HEAD], and stats [splits, H] = (largest score, Σ exp), for attention-combine.ts. A split has as many
 * turns of KEYS as leave at most AT_ONCE splits. HEAD a multiple of 8, at most 256; KEYS a multiple of 32; HEADS 1, or 2
 * where H / G is even. HEAD / 8 threads to a row of keys and of values, the next turn's on their way during this one's
 * sums; sums in fixed order, whatever HEADS is. Workgroup memory at HEAD 128: 19 KiB with KEYS 128, 10 KiB with KEYS 64 and
 * HEADS 2. Limited by latency, in long contexts by memory.
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
  /** A workgroup for each split; else one for all keys, at most `keys`. */
  readonly split: boolean;
  /** Splits at most; each has `keys` keys, or so many times `keys`. */
  readonly atOnce: number;
}

/** Splits of the positions up to `position`: the turns of each, then how many there are. */
export function splitsAt(position: number, keys: number, atOnce: number): number {
  const turns = Math.floor(position / (keys * atOnce)) + 1;
  return Math.floor(position / (keys * turns)) + 1;
}

/** Keys of a turn. */
export const SPLIT_KEYS = 64;

/** Splits there is room for: those of a context, up to a power of two, at most `atOnce`. */
export const splitsOf = (context: number, atOnce: number, keys: number = SPLIT_KEYS): number =>
  Math.min(atOnce, 2 ** Math.ceil(Math.log2(Math.ceil(context / keys))));

/** Workgroups of which the cards it was measured on run two on each of 132 multiprocessors. */
export const TWO_EACH = 264;

/** Heads of a kv head that share a workgroup where there are many keys. */
const sharing = (H: number, G: number): 1 | 2 => ((H / G) % 2 === 0 ? 2 : 1);

/** Most splits of a head: those whose workgroups run at once. */
export const splitsAtOnce = (H: number, G: number): number => Math.max(1, Math.floor((TWO_EACH * sharing(H, G)) / H));

/** One way to go through the cache, and the positions of the query for which it is taken. */
export type DecodeAttention = Readonly<{ shape: DecodeAttentionShape; positions: Span }>;

/**
 * Few keys: one workgroup per head, of 128 keys where the device allows 512 invocations and their memory. More: splits,
 * of fewer keys each, so that more workgroups share them. Many, so that workgroups of one head would not run all at
 * once: two heads share one. More than these run at once: each split takes several turns.
 */
export function tuneAttention(
  { H, G, Hd, window, cache }: Pick<DecodeAttentionShape, "H" | "G" | "Hd" | "window" | "cache">,
  { invocations, bytes }: WorkgroupLimits,
): Readonly<Record<"few" | "more" | "many", DecodeAttention>> {
  const heads = sharing(H, G);
  const atOnce = splitsAtOnce(H, G);
  const few = (keys: number): DecodeAttentionShape => ({ H, G, Hd, window, cache, keys, heads: 1, split: false, atOnce });
  const most = 4 * 128 <= invocations && workgroupBytes(attentionDecode, few(128)) <= bytes ? 128 : 64;
  const many = Math.max(most, SPLIT_KEYS * Math.floor(ONE_ROUND / H));
  const splits = { H, G, Hd, window, cache, keys: SPLIT_KEYS, split: true, atOnce };
  return {
    few: { shape: few(most), positions: { from: 0, to: most } },
    more: { shape: { ...splits, heads: 1 }, positions: { from: most, to: many } },
    many: { shape: { ...splits, heads }, positions: { from: many, to: Infinity } },
  };
}

/** Rows that the threads of a workgroup read at a time: as many as they are enough for, at most all. */
const partsOf = (keys: number, Hd: number): number => Math.min(keys, Math.floor((4 * keys) / (Hd / 8)));

/** Numbers that the dot products of all keys, or the sums of all parts, take. */
const roomOf = (keys: number, Hd: number, heads: number): number => Math.max(heads * keys, 8 * partsOf(keys, Hd)) * (Hd / 8 + 1);

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
override AT_ONCE: u32 = 16u;
override LANES: u32 = HEAD / 8u;
override THREADS: u32 = 4u * KEYS;
override PARTS: u32 = 16u;
override ROOM: u32 = 2176u;
override TURNS: u32 = (KEYS + PARTS - 1u) / PARTS;
override BLOCKS: u32 = (H * HEAD + 31u) / 32u;
override CACHE_F16: bool = true;
override WORDS: u32 = select(2u, 1u, CACHE_F16);
const ROWS = 8;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> step: Step;
// Dot products of LANES eighths a key, then sums of PARTS parts: rows LANES + 1 apart.
var<workgroup> room: array<f32, ROOM>;
var<workgroup> scores: array<vec4<f32>, HEADS * KEYS / 4>;
var<workgroup> weight: array<f32, HEADS * KEYS>;
var<workgroup> totals: array<vec4<f32>, HEADS * KEYS / 4>;
var<workgroup> scaling: array<vec2<f32>, HEADS>;
struct Octet { a: vec4<f32>, b: vec4<f32> }
fn widened(x: vec4<u32>, y: vec4<u32>) -> Octet {
  if (CACHE_F16) {
    return Octet(vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y)), vec4<f32>(unpack2x16float(x.z), unpack2x16float(x.w)));
  }
  return Octet(bitcast<vec4<f32>>(x), bitcast<vec4<f32>>(y));
}
fn largest_of(h: u32) -> f32 {
  var m = scores[h * (KEYS / 4u)];
  for (var i = 1u; i < KEYS / 4u; i++) { m = max(m, scores[h * (KEYS / 4u) + i]); }
  return max(max(m.x, m.y), max(m.z, m.w));
}
fn total_of(h: u32) -> f32 {
  var t = totals[h * (KEYS / 4u)];
  for (var i = 1u; i < KEYS / 4u; i++) { t += totals[h * (KEYS / 4u) + i]; }
  return (t.x + t.y) + (t.z + t.w);
}
fn put_sums(at: u32, low: vec4<f32>, high: vec4<f32>) {
  for (var j = 0u; j < 4u; j++) {
    room[at + j * (LANES + 1u)] = low[j];
    room[at + (4u + j) * (LANES + 1u)] = high[j];
  }
}
fn put_out(tid: u32, head: u32, h: u32, split: u32) {
  let l = total_of(h);
  for (var d = tid; d < HEAD; d += THREADS) {
    let from_ = (d & 7u) * (LANES + 1u) + (d >> 3u);
    var x = 0.0;
    for (var p = 0u; p < PARTS; p++) { x += room[p * 8u * (LANES + 1u) + from_]; }
    let k = (head + h) * HEAD + d;
    out[4u * ((8u * split + ((k & 31u) >> 2u)) * BLOCKS + (k >> 5u)) + (k & 3u)] = select(x / l, x, SPLIT);
  }
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let head = wg.x * HEADS;
  let kv = head / (H / G);
  let position = step.start;
  let turns = select(1u, position / (KEYS * AT_ONCE) + 1u, SPLIT);
  let tiles = position / KEYS + 1u;
  let end = min((wg.y + 1u) * turns, tiles);
  var tile = wg.y * turns;
  let scale = inverseSqrt(f32(HEAD));
  // What is left of the threads idles.
  let part = min(tid / LANES, PARTS);
  let octet = tid % LANES;
  var keys: array<vec4<u32>, ROWS>;
  var values: array<vec4<u32>, ROWS>;
  for (var j = 0u; j < TURNS; j++) {
    let at = ((min(tile * KEYS + part + j * PARTS, position) * G + kv) * LANES + octet) * WORDS;
    keys[j * WORDS] = k_cache[at];
    values[j * WORDS] = v_cache[at];
    if (!CACHE_F16) { keys[2u * j + 1u] = k_cache[at + 1u]; values[2u * j + 1u] = v_cache[at + 1u]; }
  }
  let from_q = (head * LANES + octet) * 2u;
  let q0 = q[from_q];
  let q1 = q[from_q + 1u];
  let q2 = q[from_q + select(0u, 2u * LANES, HEADS == 2u)];
  let q3 = q[from_q + select(1u, 2u * LANES + 1u, HEADS == 2u)];
  var largest = -3e38;
  var total = 0.0;
  var low = vec4<f32>(0.0);
  var high = vec4<f32>(0.0);
  var low2 = vec4<f32>(0.0);
  var high2 = vec4<f32>(0.0);
  for (; tile < end; tile++) {
    for (var j = 0u; j < TURNS; j++) {
      let k = widened(keys[j * WORDS], keys[(j + 1u) * WORDS - 1u]);
      let s = part + j * PARTS;
      if (part < PARTS && s < KEYS) {
        let t = k.a * q0 + k.b * q1;
        room[s * (LANES + 1u) + octet] = (t.x + t.y) + (t.z + t.w);
        if (HEADS == 2u) {
          let t2 = k.a * q2 + k.b * q3;
          room[(KEYS + s) * (LANES + 1u) + octet] = (t2.x + t2.y) + (t2.z + t2.w);
        }
      }
    }
    let more = tile + 1u < end;
    if (more) {
      for (var j = 0u; j < TURNS; j++) {
        let at = ((min((tile + 1u) * KEYS + part + j * PARTS, position) * G + kv) * LANES + octet) * WORDS;
        keys[j * WORDS] = k_cache[at];
        if (!CACHE_F16) { keys[2u * j + 1u] = k_cache[at + 1u]; }
      }
    }
    workgroupBarrier();
    // An invocation the score of one key and head: tid / KEYS.
    var score = -3e38;
    if (tid < HEADS * KEYS) {
      let s = tile * KEYS + tid % KEYS;
      var t = 0.0;
      for (var i = 0u; i < LANES; i++) { t += room[tid * (LANES + 1u) + i]; }
      score = select(-3e38, t * scale, s <= position && position - s < WINDOW);
      scores[tid >> 2u][tid & 3u] = score;
    }
    workgroupBarrier();
    if (tid < HEADS * KEYS) {
      let next = max(largest, largest_of(tid / KEYS));
      let before = exp(largest - next);
      let w = select(0.0, exp(score - next), score > -3e38);
      weight[tid] = w;
      total = total * before + w;
      largest = next;
      if (tid % KEYS == 0u) { scaling[tid / KEYS] = vec2<f32>(before, next); }
    }
    workgroupBarrier();
    let before = scaling[0].x;
    low *= before;
    high *= before;
    if (HEADS == 2u) {
      let before2 = scaling[HEADS - 1u].x;
      low2 *= before2;
      high2 *= before2;
    }
    for (var j = 0u; j < TURNS; j++) {
      let v = widened(values[j * WORDS], values[(j + 1u) * WORDS - 1u]);
      let s = part + j * PARTS;
      let w = select(0.0, weight[min(s, KEYS - 1u)], s < KEYS);
      low += v.a * w;
      high += v.b * w;
      if (HEADS == 2u) {
        let w2 = select(0.0, weight[(HEADS - 1u) * KEYS + min(s, KEYS - 1u)], s < KEYS);
        low2 += v.a * w2;
        high2 += v.b * w2;
      }
    }
    if (more) {
      for (var j = 0u; j < TURNS; j++) {
        let at = ((min((tile + 1u) * KEYS + part + j * PARTS, position) * G + kv) * LANES + octet) * WORDS;
        values[j * WORDS] = v_cache[at];
        if (!CACHE_F16) { values[2u * j + 1u] = v_cache[at + 1u]; }
      }
    }
  }
  if (tid < HEADS * KEYS) { totals[tid >> 2u][tid & 3u] = total; }
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
  if (SPLIT && tid < HEADS) { stats[wg.y * H + head + tid] = vec2<f32>(scaling[tid].y, total_of(tid)); }
}
`,
  workgroupBytes: ({ Hd, keys, heads }) => 4 * (Math.ceil(roomOf(keys, Hd, heads) / 4) * 4 + 3 * heads * keys + 4),
  emits: ["ROWS"],
  call: ({ H, G, Hd, window, cache, keys, heads, split, atOnce }) => ({
    overrides: {
      H,
      G,
      HEAD: Hd,
      WINDOW: window ?? 0xffffffff,
      KEYS: keys,
      SPLIT: split,
      HEADS: heads,
      AT_ONCE: atOnce,
      PARTS: partsOf(keys, Hd),
      ROOM: roomOf(keys, Hd, heads),
      CACHE_F16: cache === "f16",
    },
    emitted: { ROWS: cache === "f16" ? 8 : 16 },
    workgroups: (_T, start) => [H / heads, split ? splitsAt(start, keys, atOnce) : 1, 1],
  }),
  sizes({ H, G, Hd, cache: dtype, keys, split, atOnce }, _T, start) {
    const cache = cacheBytes[dtype] * (start + 1) * G * Hd;
    const splits = splitsAt(start, keys, atOnce);
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

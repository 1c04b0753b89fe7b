/**
 * out[h, d] = Σ_s softmax_s(q[h] · k[s] / √HEAD) v[s, d] for one query at step.start, over an f16 cache, all keys of a
 * head by one workgroup: attention-decode.ts without splits, for devices whose subgroups hold the HEAD / 8 lanes of a key.
 * q [H, HEAD] f32, rotated; caches [S, G, HEAD] f16; a key at s counts where position − WINDOW < s ≤ position; out [H ·
 * HEAD] f32 in planes (wgsl/fixed16.ts). HEAD / 8 lanes of a subgroup, which follow one another in the workgroup, have four
 * keys at a time, all loads on their way at once, a lane eight components. Their scores are summed by halving (a shuffle
 * for each bit of HEAD / 8, and one more), so that a lane then weighs one key; each such group of lanes has a running
 * maximum and sums of its own, brought together at the end: two barriers in all, in fixed order. HEAD 32, 64, 128 or 256.
 * Workgroup memory at 512 invocations: 16 KiB. Limited by latency.
 */
import type { Capabilities } from "../../device/capabilities.ts";
import { type Card, makeCard, type Span, workgroupBytes } from "../../pipeline/kernel.ts";
import { cacheBytes } from "../../wgsl/cache.ts";
import { fourRowsWgsl, octetWgsl } from "../../wgsl/cached-rows.ts";
import { planeBytes } from "../../wgsl/fixed16.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { workgroupLimits } from "../../wgsl/teams.ts";

/** `lanes` invocations a workgroup, hence 32 · lanes / Hd keys a turn. */
export type ShuffleAttentionShape = Readonly<{ H: number; G: number; Hd: number; window: number | null; lanes: number }>;

/** Head dimensions whose lanes subgroups of a device hold, the least first. */
export const shuffleDimensions = ({ features, subgroupMinSize }: Capabilities): number[] =>
  features.includes("subgroups") ? [32, 64, 128, 256].filter((Hd) => Hd / 8 <= subgroupMinSize) : [];

/**
 * Positions up to which few lanes are the fastest, and from which on splits and a second dispatch, which joins them,
 * pay: by times on one NVIDIA H100.
 */
const FEW = 64;
export const ALONE = 512;

/** One way to go through the cache, and the positions of the query for which it is taken. */
export type ShuffleAttention = Readonly<{ shape: ShuffleAttentionShape; positions: Span }>;

/** The ways of a device up to position `to`, none where its subgroups do not hold the lanes of a key. */
export function tuneShuffle(
  { H, G, Hd, window }: Omit<ShuffleAttentionShape, "lanes">,
  capabilities: Capabilities,
  to: number = ALONE,
): readonly ShuffleAttention[] {
  if (!shuffleDimensions(capabilities).includes(Hd)) return [];
  const { invocations, bytes } = workgroupLimits(capabilities);
  const cut = (most: number): ShuffleAttentionShape => {
    let shape = { H, G, Hd, window, lanes: most };
    while (shape.lanes > Hd / 8 && (shape.lanes > invocations || workgroupBytes(attentionShuffle, shape) > bytes))
      shape = { ...shape, lanes: shape.lanes / 2 };
    return shape;
  };
  return [
    { shape: cut(128), positions: { from: 0, to: FEW } },
    { shape: cut(Math.min(512, 4 * Hd)), positions: { from: FEW, to } },
  ];
}

export const attentionShuffle: Card<"q" | "k_cache" | "v_cache" | "out" | "step", ShuffleAttentionShape> = makeCard({
  name: "attention-shuffle",
  features: ["subgroups"],
  wgsl: /* wgsl */ `
enable subgroups;
${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override WINDOW: u32 = 0xffffffffu;
override THREADS: u32 = 256u;
override LANES: u32 = HEAD / 8u;
override GROUPS: u32 = THREADS / LANES;
override KEYS: u32 = 4u * GROUPS;
override BLOCKS: u32 = (H * HEAD + 31u) / 32u;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> step: Step;
// Of each group its sums: the low quads of its octets, then the high ones.
var<workgroup> room: array<vec4<f32>, 2 * THREADS>;
var<workgroup> largest: array<f32, GROUPS>;
var<workgroup> totals: array<f32, GROUPS>;
${octetWgsl}
fn product(key: vec4<u32>, low: vec4<f32>, high: vec4<f32>) -> f32 {
  let k = widened(key);
  let t = k.a * low + k.b * high;
  return (t.x + t.y) + (t.z + t.w);
}
${fourRowsWgsl}
// Four keys' sums over the lanes of a group: key 2 · back + odd stays with the lanes of its bits.
fn halved(t: vec4<f32>, back: bool, odd: bool) -> f32 {
  let give = select(t.zw, t.xy, back);
  let two = select(t.xy, t.zw, back) + vec2<f32>(subgroupShuffleXor(give.x, LANES / 2u), subgroupShuffleXor(give.y, LANES / 2u));
  var s = select(two.x, two.y, odd) + subgroupShuffleXor(select(two.y, two.x, odd), LANES / 4u);
  for (var w = LANES / 8u; w > 0u; w /= 2u) { s += subgroupShuffleXor(s, w); }
  return s;
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let head = wg.x;
  let position = step.start;
  let octet = lane % LANES;
  let first = lane - octet;
  let group = tid / LANES;
  let back = octet >= LANES / 2u;
  let odd = (octet & (LANES / 4u)) != 0u;
  let column = head / (H / G) * LANES + octet;
  var at = rows(group, position, column);
  var keys = load_keys(at);
  var values = load_values(at);
  let q0 = q[(head * LANES + octet) * 2u];
  let q1 = q[(head * LANES + octet) * 2u + 1u];
  var most = -3e38;
  var total = 0.0;
  var low = vec4<f32>(0.0);
  var high = vec4<f32>(0.0);
  for (var from_ = 0u; from_ <= position; from_ += KEYS) {
    let t = vec4<f32>(product(keys.a, q0, q1), product(keys.b, q0, q1), product(keys.c, q0, q1), product(keys.d, q0, q1));
    let v = values;
    if (from_ + KEYS <= position) {
      at = rows(from_ + KEYS + group, position, column);
      keys = load_keys(at);
      values = load_values(at);
    }
    // The score of the lane's key, then its weight.
    let s = from_ + (2u * u32(back) + u32(odd)) * GROUPS + group;
    let counts = s <= position && position - s < WINDOW;
    let score = select(-3e38, halved(t, back, odd) * inverseSqrt(f32(HEAD)), counts);
    let pair = max(score, subgroupShuffleXor(score, LANES / 2u));
    let next = max(most, max(pair, subgroupShuffleXor(pair, LANES / 4u)));
    let before = exp(most - next);
    let w = select(0.0, exp(score - next), counts);
    let w0 = subgroupShuffle(w, first);
    let w1 = subgroupShuffle(w, first + LANES / 4u);
    let w2 = subgroupShuffle(w, first + LANES / 2u);
    let w3 = subgroupShuffle(w, first + LANES / 2u + LANES / 4u);
    let a = widened(v.a);
    let b = widened(v.b);
    let c = widened(v.c);
    let d = widened(v.d);
    low = low * before + ((a.a * w0 + b.a * w1) + (c.a * w2 + d.a * w3));
    high = high * before + ((a.b * w0 + b.b * w1) + (c.b * w2 + d.b * w3));
    total = total * before + ((w0 + w1) + (w2 + w3));
    most = next;
  }
  if (octet == 0u) { largest[group] = most; }
  workgroupBarrier();
  // Each group's sums by one maximum for all.
  var m = -3e38;
  for (var g = 0u; g < GROUPS; g++) { m = max(m, largest[g]); }
  let f = exp(most - m);
  room[group * 2u * LANES + octet] = low * f;
  room[group * 2u * LANES + LANES + octet] = high * f;
  if (octet == 0u) { totals[group] = total * f; }
  workgroupBarrier();
  for (var d = tid; d < HEAD; d += THREADS) {
    let from_ = ((d >> 2u) & 1u) * LANES + (d >> 3u);
    var x = 0.0;
    var l = 0.0;
    for (var g = 0u; g < GROUPS; g++) {
      x += room[g * 2u * LANES + from_][d & 3u];
      l += totals[g];
    }
    let k = head * HEAD + d;
    out[4u * (((k & 31u) >> 2u) * BLOCKS + (k >> 5u)) + (k & 3u)] = x / l;
  }
}
`,
  workgroupBytes: ({ Hd, lanes }) => 32 * lanes + 2 * Math.ceil((8 * lanes) / Hd / 4) * 16,
  call: ({ H, G, Hd, window, lanes }) => ({
    overrides: { H, G, HEAD: Hd, WINDOW: window ?? 0xffffffff, THREADS: lanes },
    workgroups: () => [H, 1, 1],
  }),
  sizes({ H, G, Hd }, _T, start) {
    const cache = cacheBytes.f16 * (start + 1) * G * Hd;
    return { q: 4 * H * Hd, k_cache: cache, v_cache: cache, out: planeBytes(H * Hd) };
  },
});

/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g]) · v[s, g, :] over the keys s ≤ rows[t].start of slot rows[t].slot that a window leaves,
 * g = h · G/H: f16 operands, f32 sums; q [T, H, HEAD] f16, already · 1/√HEAD; caches [slots, CAPACITY, G, HEAD] f16. A workgroup has a row and up
 * to four heads of one g, its subgroups take turns of the keys: 16 lanes (32 where HEAD > 128) have a key, eight of its elements each, read once for all heads, and sum
 * the products of four keys and four heads so that each ends with one of the sixteen scores. Weights are exp(score − m), m the largest score of
 * a subgroup's first turn, raised where a later one exceeds it by more than LIFT (Milakov & Gimelshein 2018, arXiv 1805.02867). The next turn's keys and
 * values are on their way in registers. SPLITS = 1: out f16 in eights (wgsl/eights.ts) with EIGHTS_OUT, else f32. SPLITS > 1: split z sees a
 * share of a row's turns, leaves its mean, f32, at row 64 z + t of out and (m, Σ exp) at that of stats [64 SPLITS, H]; one that sees no key
 * leaves a sum of 0 and no mean; prefill-rows-f16.ts joins them. The order of all sums depends on position, SPLITS and SUBGROUPS
 * alone. HEAD a multiple of 8, at most 256; H one of G. Workgroup memory 2,064 bytes per subgroup, 4,128 where HEAD > 128. Limited by the bytes of
 * the caches.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";
import { each } from "../../wgsl/repeat.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import type { WorkgroupLimits } from "../../wgsl/teams.ts";
import { SPLIT_ROWS } from "../prefill/attention-prefill-matrix.ts";

/** Loads of keys, and of values, that a subgroup has under way; with four heads their scores are one for each lane. */
const LOADS = 4;
const HEADS = 4;
/** What a score may exceed m by. */
const LIFT = "8.0";

/** Subgroups of a workgroup where few workgroups are to keep a device busy, and else: several share a multiprocessor. */
const MOST = 12;
const USUAL = 8;
/** Workgroup memory of a subgroup. */
const bytesOf = (Hd: number): number => HEADS * (32 * (Hd > 128 ? 32 : 16) + 8);
/** As many, or those that a workgroup of the device has room for: 7, or 3 where HEAD > 128, by WebGPU's least limits. */
export const attentionSubgroups = (Hd: number, few: boolean, { invocations, bytes }: WorkgroupLimits): number =>
  Math.min(few && Hd <= 128 ? MOST : USUAL, Math.floor(invocations / 32), Math.floor(bytes / bytesOf(Hd)));

const heads = (line: (h: number) => string, between = " "): string => each(HEADS, line, between);
const load = (of: "keys" | "values", first: string): string =>
  each(LOADS, (j) => `${of}${j} = ${of}[eighth(slot + min(${first} + ${j}u * ABREAST + side, last), g) + octet];`);

/** Of a load: the products of its keys and all heads, a lane's part of each. */
const products = (j: number): string =>
  `var s${j}: vec4<f32>; { let a = lower(keys${j}); let b = upper(keys${j}); s${j} = vec4(${heads((h) => `dot(low${h}, a) + dot(high${h}, b)`, ", ")}); }`;
/** A lane keeps one half of what it has, and adds what its partner has of that. */
const halved = (kept: string, other: string, bit: number): string =>
  `select(${kept}, ${other}, bit${bit}) + subgroupShuffleXor(select(${other}, ${kept}, bit${bit}), ${bit}u)`;
/** Adds a load's values, weighted. */
const mix = (j: number): string =>
  `{ let a = lower(values${j}); let b = upper(values${j}); ${heads((h) => `{ let w = subgroupShuffle(weight, lane / 16u * 16u + ${HEADS * j + h}u); left${h} += w * a; right${h} += w * b; }`)} }`;

/** As AttentionParams of attention.ts, with the slots and the positions of one; keys in so many `splits`, of at most 64 rows; `subgroups` of attentionSubgroups. */
export type BatchAttentionF16Shape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  window: number | null;
  slots: number;
  capacity: number;
  splits: number;
  eights: boolean;
  subgroups: number;
}>;

export const batchAttentionF16: Card<"rows" | "q" | "keys" | "values" | "out" | "stats", BatchAttentionF16Shape> = makeCard({
  name: "batch-attention-f16",
  features: ["subgroups"],
  subgroupSize: 32,
  wgsl: /* wgsl */ `
enable subgroups;

${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override WINDOW: u32 = 0u; // 0: none
override CAPACITY: u32 = 1024u;
override SPLITS: u32 = 1u;
override EIGHTS_OUT: bool = true;
override SUBGROUPS: u32 = 8u;
override LANES: u32 = 32u * SUBGROUPS;
override EIGHTS: u32 = HEAD / 8u;
override PER_KEY: u32 = 16u + (HEAD - 1u) / 128u * 16u; // lanes
override ABREAST: u32 = 32u / PER_KEY; // keys of a load
override TURN: u32 = ${LOADS}u * ABREAST;
@group(0) @binding(0) ${rowsBindingWgsl}
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;
const LOWEST = -3e38;
var<workgroup> sums: array<vec4<f32>, ${2 * HEADS}u * SUBGROUPS * PER_KEY>; // [subgroup, head, first or second four, lane of a key]
var<workgroup> told: array<vec2<f32>, ${HEADS}u * SUBGROUPS>; // (m, Σ exp) of each subgroup's heads

${eightsWgsl}
fn eighth(position: u32, g: u32) -> u32 { return (position * G + g) * EIGHTS; }
fn lower(x: vec4<u32>) -> vec4<f32> { return vec4(unpack2x16float(x.x), unpack2x16float(x.y)); }
fn upper(x: vec4<u32>) -> vec4<f32> { return vec4(unpack2x16float(x.z), unpack2x16float(x.w)); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let perGroup = H / G;
  let blocks = (perGroup + ${HEADS - 1}u) / ${HEADS}u;
  let g = wg.x / blocks;
  let first = g * perGroup + wg.x % blocks * ${HEADS}u; // head
  let heads = min(${HEADS}u, (g + 1u) * perGroup - first);
  let t = wg.y;
  let last = rows[t].start;
  let slot = rows[t].slot * CAPACITY;
  var base = 0u;
  if (WINDOW > 0u && last + 1u > WINDOW) { base = last + 1u - WINDOW; }
  // Turns of the row, then those of this split.
  let turns = (last - base) / TURN + 1u;
  let share = (turns + SPLITS - 1u) / SPLITS;
  let begin = wg.z * share;
  let end = min(begin + share, turns);
  // A lane's eight of a key, and its key of a load; lanes beyond a head's eights multiply by zero.
  let part = lane % PER_KEY;
  let octet = min(part, EIGHTS - 1u);
  let side = lane / PER_KEY;
  var from_ = base + (begin + sg) * TURN;
  ${each(LOADS, (j) => `var keys${j}: vec4<u32>; var values${j}: vec4<u32>;`)}
  ${load("keys", "from_")}
  ${load("values", "from_")}
  ${heads(
    (h) => `var low${h} = vec4(0.0); var high${h} = vec4(0.0); var left${h} = vec4(0.0); var right${h} = vec4(0.0);
    if (${h}u < heads && part < EIGHTS) { let x = q[(t * H + first + ${h}u) * EIGHTS + part]; low${h} = lower(x); high${h} = upper(x); }`,
  )}
  // Of head lane % 4: m, and the sum of this lane's weights.
  var m = LOWEST;
  var total = 0.0;
  ${[8, 4, 2, 1].map((bit) => `let bit${bit} = (lane & ${bit}u) != 0u;`).join(" ")}
  for (var turn = begin + sg; turn < end; turn += SUBGROUPS) {
    let next = from_ + SUBGROUPS * TURN;
    ${each(LOADS, products)}
    // Sixteen scores, summed over the lanes of a key: lane 4 j + h keeps that of load j and head h.
    let even = ${halved("s0", "s2", 8)};
    let odd = ${halved("s1", "s3", 8)};
    let key = ${halved("even", "odd", 4)};
    let pair = ${halved("key.xy", "key.zw", 2)};
    var score = ${halved("pair.x", "pair.y", 1)};
    if (PER_KEY == 32u) { score += subgroupShuffleXor(score, 16u); }
    if (from_ + lane % 16u / 4u * ABREAST + side > last) { score = LOWEST; }
    ${load("keys", "next")}
    var most = max(score, subgroupShuffleXor(score, 4u));
    most = max(most, subgroupShuffleXor(most, 8u));
    if (PER_KEY == 16u) { most = max(most, subgroupShuffleXor(most, 16u)); }
    let rises = most > m + ${LIFT};
    let carried = select(1.0, exp(m - most), rises);
    ${heads((h) => `let carried${h} = subgroupShuffle(carried, ${h}u);`)}
    if (subgroupAny(rises)) {
      m = select(m, most, rises);
      total *= carried;
      ${heads((h) => `left${h} *= carried${h}; right${h} *= carried${h};`)}
    }
    let weight = exp(score - m);
    total += weight;
    ${each(LOADS, mix, "\n    ")}
    ${load("values", "next")}
    from_ = next;
  }
  // Lanes that have a head, or both keys of a load, as one; then the subgroups.
  total += subgroupShuffleXor(total, 4u);
  total += subgroupShuffleXor(total, 8u);
  if (PER_KEY == 16u) { total += subgroupShuffleXor(total, 16u); }
  if (lane < ${HEADS}u) { told[sg * ${HEADS}u + lane] = vec2(m, total); }
  let own = sg * ${2 * HEADS}u * PER_KEY + part;
  ${heads(
    (h) => `if (PER_KEY == 16u) { left${h} += subgroupShuffleXor(left${h}, 16u); right${h} += subgroupShuffleXor(right${h}, 16u); }
    if (side == 0u) { sums[own + ${2 * h}u * PER_KEY] = left${h}; sums[own + ${2 * h + 1}u * PER_KEY] = right${h}; }`,
  )}
  workgroupBarrier();
  let row = wg.z * ${SPLIT_ROWS}u + t;
  let seen = begin < turns;
  for (var i = tid; i < heads * EIGHTS; i += LANES) {
    let h = i / EIGHTS;
    let column = i % EIGHTS;
    var highest = LOWEST;
    for (var s = 0u; s < SUBGROUPS; s++) { highest = max(highest, told[s * ${HEADS}u + h].x); }
    var all = 0.0;
    var low = vec4(0.0);
    var high = vec4(0.0);
    for (var s = 0u; s < SUBGROUPS; s++) {
      let one = told[s * ${HEADS}u + h];
      let weight = exp(one.x - highest);
      let at = (s * ${HEADS}u + h) * 2u * PER_KEY + column;
      all += weight * one.y;
      low += weight * sums[at];
      high += weight * sums[at + PER_KEY];
    }
    let to = (row * H + first + h) * EIGHTS + column;
    if (SPLITS == 1u && EIGHTS_OUT) {
      out[to] = eight(low / all, high / all);
    } else if (seen) {
      out[2u * to] = bitcast<vec4<u32>>(low / all);
      out[2u * to + 1u] = bitcast<vec4<u32>>(high / all);
    }
    if (SPLITS > 1u && column == 0u) { stats[row * H + first + h] = vec2(highest, select(0.0, all, seen)); }
  }
}
`,
  workgroupBytes: ({ Hd, subgroups }) => subgroups * bytesOf(Hd),
  call: ({ H, G, Hd, window, capacity, splits, eights, subgroups }) => ({
    overrides: { H, G, HEAD: Hd, WINDOW: window ?? 0, CAPACITY: capacity, SPLITS: splits, EIGHTS_OUT: eights, SUBGROUPS: subgroups },
    workgroups: (T) => [G * Math.ceil(H / G / HEADS), T, splits],
  }),
  sizes({ H, G, Hd, slots, capacity, splits, eights }, T) {
    const cache = 2 * slots * capacity * G * Hd;
    const rows = (splits - 1) * SPLIT_ROWS + T;
    return {
      q: 2 * T * H * Hd,
      keys: cache,
      values: cache,
      out: (splits === 1 && eights ? 2 : 4) * rows * H * Hd,
      stats: splits > 1 ? 8 * rows * H : 0,
    };
  },
});

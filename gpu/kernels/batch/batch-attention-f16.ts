/**
 * batch-attention.ts over an f16 cache: out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g] / √HEAD) · v[s, g, :]
 * over the keys s ≤ rows[t].start of slot rows[t].slot that a window leaves, g = h · G/H; q [T, H, HEAD] f32, out f16 in eights (wgsl/eights.ts); caches
 * [slots, CAPACITY, G, HEAD]. SPLITS > 1: split z sees a share of a row's keys, whole turns, and leaves its mean, f32, at row 64 z + t of out and (largest score,
 * Σ exp) at that of stats [64 SPLITS, H]; a split that sees none leaves (lowest, 0) and no mean; prefill-rows-f16.ts joins them. A workgroup of 128 per
 * row, split and four heads of one g, which read its keys and values once between them, eight components a load: 128 keys a turn, the first
 * values loaded before the scores; four invocations score four keys, HEAD / 8 have a value row. It keeps each head's running maximum (Milakov
 * & Gimelshein 2018, arXiv 1805.02867). The order of all sums depends on position and SPLITS alone. HEAD a multiple of 8, at most 256; H one of G.
 * Workgroup memory 14 KiB. Limited by the bytes of the caches.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { SPLIT_ROWS } from "../prefill/attention-prefill-matrix.ts";
import type { BatchAttentionShape } from "./batch-attention.ts";

/** Heads that share a reading of keys and values. */
const SHARE = 4;
const heads = ["x", "y", "z", "w"];
/** A line for each head, and statements for each of eight components, four a line: what they index is then in registers everywhere. */
const perHead = (line: (head: string, h: number) => string): string => heads.map((head, h) => `${line(head, h)}\n`).join("");
const perEighth = (statement: (i: number, of: string) => string): string =>
  ["low", "high"].map((half, n) => `    ${heads.map((component, i) => statement(4 * n + i, `${half}.${component}`)).join(" ")}\n`).join("");

/** Keys that four invocations score. */
const FOUR = [0, 1, 2, 3];
const LANES = 128;

/** As that of batch-attention.ts; keys in so many `splits`, of at most 64 rows. */
export type BatchAttentionF16Shape = Omit<BatchAttentionShape, "dtype"> & Readonly<{ splits: number }>;

export const batchAttentionF16: Card<"rows" | "q" | "keys" | "values" | "out" | "stats", BatchAttentionF16Shape> = makeCard({
  name: "batch-attention-f16",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { H: u32, G: u32, eights: u32, window: u32, scale: f32, CAPACITY: u32 }
@group(0) @binding(0) ${rowsBindingWgsl}
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(6) var<uniform> params: Params;
override HEAD: u32 = 128u;
override SPLITS: u32 = 1u;
override FOURS: u32 = HEAD / 4u;
override EIGHTS: u32 = HEAD / 8u;
override PARTS: u32 = LANES / EIGHTS;
override TURNS: u32 = (LANES + PARTS - 1u) / PARTS;
override EARLY: u32 = min(TURNS, 8u); // of these, loaded before the scores

const LANES = ${LANES}u;
const SHARE = ${SHARE}u;
const FOLDED = 8u;
const LOWEST = -0x1.fffffep+127f;
var<workgroup> query: array<vec4<f32>, 256>; // [SHARE, HEAD/4]
// Quarters of the scores of four heads, [LANES, 4]; in the end a head's components of each part, [PARTS, HEAD/4].
var<workgroup> parted: array<vec4<f32>, 4 * LANES>;
var<workgroup> staged: array<vec4<f32>, LANES>; // scores of four heads, then their weights
var<workgroup> folded: array<vec4<f32>, FOLDED>;

${eightsWgsl}
struct Eight { low: vec4<f32>, high: vec4<f32> }
fn widened(a: vec4<u32>) -> Eight { // eight components
  return Eight(vec4(unpack2x16float(a.x), unpack2x16float(a.y)), vec4(unpack2x16float(a.z), unpack2x16float(a.w)));
}
fn valueAt(position: u32, g: u32, column: u32) -> u32 { return (position * params.G + g) * EIGHTS + column; }
// Eight components' share of the scores of four heads.
fn scored(c: u32, k: Eight) -> vec4<f32> {
  return vec4(${heads.map((_, h) => `dot(query[${h}u * FOURS + 2u * c], k.low) + dot(query[${h}u * FOURS + 2u * c + 1u], k.high)`).join(", ")});
}
// Joins a head's sums, two words of each invocation that has a part of them: its mean, a row of out.
fn put_mean(lane: u32, parts: u32, low: vec4<f32>, high: vec4<f32>, total: f32, to: u32, seen: bool) {
  workgroupBarrier();
  if (lane / EIGHTS < PARTS) {
    parted[2u * lane] = low;
    parted[2u * lane + 1u] = high;
  }
  workgroupBarrier();
  if (lane < params.eights && seen) {
    var a = vec4(0.0);
    var b = vec4(0.0);
    for (var i = lane; i < parts * params.eights; i += params.eights) {
      a += parted[2u * i];
      b += parted[2u * i + 1u];
    }
    let at = to * EIGHTS + lane;
    if (SPLITS == 1u) {
      out[at] = eight(a / total, b / total);
    } else {
      out[2u * at] = bitcast<vec4<u32>>(a / total);
      out[2u * at + 1u] = bitcast<vec4<u32>>(b / total);
    }
  }
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
  var base = 0u;
  if (params.window > 0u && last + 1u > params.window) { base = last + 1u - params.window; }
  let share = (((last - base) / LANES + SPLITS) / SPLITS) * LANES; // keys of a split
  base += workgroup.z * share;
  let end = min(last + 1u, base + share);
  let row = workgroup.z * ${SPLIT_ROWS}u + t;
  let seen = base < end;
  for (var i = lane; i < SHARE * FOURS; i += LANES) {
    var x = vec4(0.0);
    if (i / FOURS < heads) { x = q[(t * params.H + first) * FOURS + i]; }
    query[i] = x;
  }
  workgroupBarrier();
  // For the scores, four invocations take every fourth eight of four keys; for the values they stand side by side along HEAD.
  let column = lane % EIGHTS;
  let part = lane / EIGHTS;
  let parts = LANES / params.eights; // PARTS, in a loop that nobody unrolls
  var most = vec4(LOWEST);
  var total = vec4(0.0); // of the weights of every LANES-th key
  var loaded: array<vec4<u32>, 8>;
  // Of four heads, a component each.
${perEighth((i) => `var sum${i} = vec4(0.0);`)}  for (; base < end; base += LANES) {
    for (var j = 0u; j < EARLY; j++) { loaded[j] = values[valueAt(slot + min(base + part + j * PARTS, end - 1u), g, column)]; }
    // Keys lane / 4 + 0, LANES / 4, … of the turn.
${FOUR.map((n) => `    let key${n} = ((slot + min(base + lane / 4u + ${n}u * (LANES / 4u), end - 1u)) * params.G + g) * EIGHTS;\n`).join("")}    ${FOUR.map((n) => `var dots${n} = vec4(0.0);`).join(" ")}
    for (var i = 0u; i < (EIGHTS + 3u) / 4u; i++) {
      let c = 4u * i + lane % 4u;
      if (EIGHTS % 4u == 0u || c < EIGHTS) {
${FOUR.map((n) => `        dots${n} += scored(c, widened(keys[key${n} + c]));\n`).join("")}      }
    }
    ${FOUR.map((n) => `parted[${n}u * LANES + lane] = dots${n};`).join(" ")}
    workgroupBarrier();
    let alive = base + lane < end;
    var score = vec4(LOWEST);
    if (alive) {
      score = ((parted[4u * lane] + parted[4u * lane + 1u]) + (parted[4u * lane + 2u] + parted[4u * lane + 3u])) * params.scale;
    }
    staged[lane] = score;
    workgroupBarrier();
    if (lane < FOLDED) {
      var highest = staged[lane];
      for (var j = lane + FOLDED; j < LANES; j += FOLDED) { highest = max(highest, staged[j]); }
      folded[lane] = highest;
    }
    workgroupBarrier();
    var higher = most;
    for (var j = 0u; j < FOLDED; j++) { higher = max(higher, folded[j]); }
    // What sums so far are multiplied by as the maximum rises; before the first keys they are 0.
    let carried = select(exp(most - higher), vec4(0.0), most == vec4(LOWEST));
    most = higher;
    var weight = vec4(0.0);
    if (alive) { weight = exp(score - most); }
    staged[lane] = weight;
    total = total * carried + weight;
    workgroupBarrier();
${perEighth((i) => `sum${i} *= carried;`)}    for (var j = 0u; j < TURNS; j++) {
      let s = part + j * PARTS;
      var words = loaded[min(j, EARLY - 1u)];
      if (j >= EARLY) { words = values[valueAt(slot + min(base + s, end - 1u), g, column)]; }
      let v = widened(words);
      let w = select(vec4(0.0), staged[min(s, LANES - 1u)], s < LANES);
${perEighth((i, of) => `sum${i} += w * v.${of};`)}    }
  }
  workgroupBarrier();
  staged[lane] = total;
  workgroupBarrier();
  if (lane < FOLDED) {
    var sum = staged[lane];
    for (var j = lane + FOLDED; j < LANES; j += FOLDED) { sum += staged[j]; }
    folded[lane] = sum;
  }
  workgroupBarrier();
  total = folded[0];
  for (var j = 1u; j < FOLDED; j++) { total += folded[j]; }
  let to = row * params.H + first; // head
  if (SPLITS > 1u && lane < heads) { stats[to + lane] = vec2(most[lane], total[lane]); }
${perHead((head, h) => {
  const [low, high] = [0, 4].map((half) => `vec4(${FOUR.map((i) => `sum${half + i}.${head}`).join(", ")})`);
  return `  if (${h}u < heads) { put_mean(lane, parts, ${low}, ${high}, total.${head}, to + ${h}u, seen); }`;
})}}
`,
  workgroupBytes: 16 * (256 + 4 * LANES + LANES + 8),
  call: ({ H, G, Hd, window, capacity, splits }) => ({
    params: { H, G, eights: Hd / 8, window: window ?? 0, scale: 1 / Math.sqrt(Hd), CAPACITY: capacity },
    overrides: { HEAD: Hd, SPLITS: splits },
    workgroups: (T) => [G * Math.ceil(H / G / SHARE), T, splits],
  }),
  sizes({ H, G, Hd, slots, capacity, splits }, T) {
    const cache = 2 * slots * capacity * G * Hd;
    const rows = (splits - 1) * SPLIT_ROWS + T;
    return {
      q: 4 * T * H * Hd,
      keys: cache,
      values: cache,
      out: (splits > 1 ? 4 : 2) * rows * H * Hd,
      stats: splits > 1 ? 8 * rows * H : 0,
    };
  },
});

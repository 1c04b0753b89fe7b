/**
 * exact-rope.ts, exact-scores.ts, exact-softmax.ts and exact-mix.ts in one, for one row whose keys fit a workgroup: from q [H, Hd], k, v [G, Hd] before the
 * rotation, and the caches of the positions before step.start, to out [H, Hd]; k and v become the caches' rows at step.start. PARTS workgroups of LANES a
 * head of q, each of which scores all positions and mixes its part of the components; the first of those that share a key/value head writes the cache, the
 * others make its digits for themselves. Four lanes a score, then teams that share the positions of the mix. start < 928. Hd ≤ 256. Workgroup memory: 9 to
 * 14 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers, exactOrder, exactPower, exactReciprocal, exactRows, exactRows32 } from "../../wgsl/exact.ts";
import { exactCacheWords, exactColumns64, exactHeads, exactMixing, exactScoring, exactWeighing } from "../../wgsl/exact-attention.ts";
import { exactWordOf } from "../../wgsl/exact-row.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { columnOf, type ExactRopeShape, exactCacheBytes } from "./exact-rope.ts";

/** Positions that a workgroup holds the scores of. */
export const ROW_KEYS = 928;

/** `lanes`: of a workgroup, a power of two, 256 (where absent) or more; `parts`: workgroups of a head, 1 where absent. */
export type ExactAttentionRowShape = ExactRopeShape & Readonly<{ lanes?: number; parts?: number }>;

/** Words of a head that a workgroup mixes. */
const mixedWords = (Hd: number, parts: number): number => Math.ceil(Math.ceil(Hd / 4) / parts);
/** One workgroup for each multiprocessor of an NVIDIA H100 or H200. */
const WORKGROUPS = 132;
/** Workgroups of a head, where all of them run at once, with at least eight words of a position for each. */
export const partsOf = ({ H, Hd }: Pick<ExactRopeShape, "H" | "Hd">): number =>
  Math.max(1, Math.min(Math.floor(WORKGROUPS / H), Math.floor(Hd / 32)));

export const exactAttentionRow: Card<"step" | "q" | "k" | "v" | "table" | "keys" | "values" | "exponents" | "out", ExactAttentionRowShape> =
  makeCard({
    name: "exact-attention-row",
    wgsl: /* wgsl */ `
${stepWgsl}
struct Params { factor: u32 }
${exactHeads}
override WORDS: u32 = (HD + 3u) / 4u;
override MIXED_WORDS: u32 = 32u; // of a head, that a workgroup mixes
override COLUMN: u32 = 32u; // these, rounded up to a power of two
override PARTS: u32 = 1u;
override WINDOW: u32 = 0xffffffffu;
override LANES: u32 = 256u;
override KEYS: u32 = LANES / 4u; // scored at once
override SHARE: u32 = LANES / KEYS;
override TEAMS: u32 = (LANES - 32u) / COLUMN; // the last 32 lanes have another task
const HELD = 8u; // words of a key that a lane takes
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> q: array<u32>;
@group(0) @binding(2) var<storage, read> k: array<u32>;
@group(0) @binding(3) var<storage, read> v: array<u32>;
@group(0) @binding(4) var<storage, read> table: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;
@group(0) @binding(7) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(8) var<storage, read_write> out: array<u32>;
@group(0) @binding(9) var<uniform> params: Params;
var<workgroup> cells: array<u32, 928>; // first the heads [q, k, v][256], then [keys]: scores, p
var<workgroup> largest: array<atomic<u32>, 5>; // |q|, |k|, |v|; the largest score, ordered; p
var<workgroup> made: array<u32, 576>; // [q, k, v][3 digits][64 words]
var<workgroup> limbs: array<atomic<u32>, 3>; // of Z: 22 bits each, of which 928 fit u32
var<workgroup> one_over: u32;
${exactIntegers}${exactNumbers}${exact96}${exactRows}${exactRows32}${exactPower}${exactReciprocal}${exactOrder}${exactColumns64}${exactScoring}${exactWeighing}${exactMixing}${exactWordOf}${exactCacheWords}
var<workgroup> parts: array<vec2<u32>, LANES>; // of scores
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = wg.x / PARTS;
  let part = wg.x % PARTS * MIXED_WORDS;
  let g = h * G / H;
  let last = step.start;
  let first = select(0u, last + 1u - min(last + 1u, WINDOW), WINDOW <= last);
  let half = HD / 2u;
  let count = last + 1u - first;
  let share = lane / KEYS;
  let j = lane % COLUMN;
  let team = lane / COLUMN;
  // 1. What lies in memory, as far as a first turn wants it: a key's words and exponent, a value's words of four positions and exponent.
  let before = max(last, 1u) - 1u; // what is beyond is not used
  var s = first + lane % KEYS;
  var e = exponents[(min(s, before) * G + g) * 2u];
  var held: array<vec3<u32>, HELD>;
  for (var i = 0u; i < HELD; i++) { held[i] = key_words(min(s, before), g, min(i * SHARE + share, WORDS - 1u)); }
  var ev = exponents[(min(first + lane, before) * G + g) * 2u + 1u];
  var w: array<vec3<u32>, 4>;
  for (var k = 0u; k < 4u; k++) { w[k] = value_words(min(first + team + k * TEAMS, before), g, min(part + j, WORDS - 1u)); }
  // 2. The head of q, turned and times the score factor, and those of k and v that it goes with: a component per lane.
  clear_mixed(lane);
  if (lane < 5u) { atomicStore(&largest[lane], 0u); }
  if (lane < 3u) { atomicStore(&limbs[lane], 0u); }
  workgroupBarrier();
  for (var i = lane; i < 3u * HD; i += LANES) {
    let what = i / HD;
    let a = i % HD;
    let low = a < half;
    let b = select(a - half, a + half, low);
    var y = 0u;
    if (what == 2u) { y = v[g * HD + a]; }
    else {
      var x = vec2<u32>(k[g * HD + a], k[g * HD + b]);
      if (what == 0u) { x = vec2<u32>(q[h * HD + a], q[h * HD + b]); }
      let turn = table[last * half + min(a, b)];
      let other = mulf(x.y, turn.y);
      y = addf(mulf(x.x, turn.x), select(other, negf(other), low));
      if (what == 0u) { y = mulf(y, params.factor); }
    }
    cells[256u * what + a] = y;
    atomicMax(&largest[what], y & 0x7fffffffu);
  }
  workgroupBarrier();
  // 3. Their digits, and the cache's rows.
  let writes = part == 0u && (h == 0u || (h - 1u) * G / H != g);
  for (var i = lane; i < 3u * WORDS; i += LANES) {
    let what = i / WORDS;
    let to = i % WORDS;
    let biased = row_biased(atomicLoad(&largest[what]));
    var word = vec4<u32>(0u);
    for (var c = 0u; c < 4u; c++) {
      if (4u * to + c < HD) { word[c] = cells[256u * what + 4u * to + c]; }
    }
    let words = word_of(fix24(word.x, biased), fix24(word.y, biased), fix24(word.z, biased), fix24(word.w, biased)).digits;
    for (var p = 0u; p < 3u; p++) {
      made[192u * what + 64u * p + to] = words[p];
      if (writes && what == 1u) { keys[((last / 32u * G + g) * 3u * WORDS + p * WORDS + to) * 32u + last % 32u] = words[p]; }
      if (writes && what == 2u) { values[(last * G + g) * 3u * WORDS + p * WORDS + to] = words[p]; }
    }
  }
  let eq = row_exponent(atomicLoad(&largest[0]));
  let ek = row_exponent(atomicLoad(&largest[1]));
  let own = row_exponent(atomicLoad(&largest[2]));
  if (writes && lane == 0u) {
    exponents[(last * G + g) * 2u] = ek;
    exponents[(last * G + g) * 2u + 1u] = own;
  }
  workgroupBarrier();
  // 4. Scores: SHARE lanes of a key take words in turns.
  for (var from_key = first; from_key <= last; from_key += KEYS) {
    if (from_key > first) {
      s = from_key + lane % KEYS;
      e = exponents[(min(s, before) * G + g) * 2u];
      for (var i = 0u; i < HELD; i++) { held[i] = key_words(min(s, before), g, min(i * SHARE + share, WORDS - 1u)); }
    }
    var c = Scored();
    for (var i = 0u; i < HELD; i++) {
      let at = i * SHARE + share;
      if (at < WORDS) {
        var b = held[i];
        if (s >= last) { b = vec3<u32>(made[192u + at], made[256u + at], made[320u + at]); }
        c = scored(c, vec3<u32>(made[at], made[64u + at], made[128u + at]), b);
      }
    }
    var sum = score_sum(c);
    parts[lane] = sum;
    workgroupBarrier();
    if (lane < KEYS && s <= last) {
      for (var i = 1u; i < SHARE; i++) { sum = add64(sum, parts[lane + i * KEYS]); }
      let score = rn64(sum, eq + select(e, ek, s == last));
      cells[s - first] = score;
      atomicMax(&largest[3], ordered(score));
    }
    workgroupBarrier();
  }
  // 5. Weights: 2^30 · 2^−d; their sum in units of 2^−46; p: each lane takes what it wrote itself.
  let most = unordered(atomicLoad(&largest[3]));
  for (var i = lane; i < count; i += LANES) {
    if (i > lane) { ev = exponents[(min(first + i, before) * G + g) * 2u + 1u]; }
    let m = weighed(most, cells[i]);
    let p = share_of(m, select(ev, own, first + i == last));
    cells[i] = p;
    atomicMax(&largest[4], p);
    atomicAdd(&limbs[0], m.w.x & 0x3fffffu);
    atomicAdd(&limbs[1], (m.w.x >> 22u) | ((m.w.y & 0xfffu) << 10u));
    atomicAdd(&limbs[2], m.w.y >> 12u);
  }
  workgroupBarrier();
  let greatest = atomicLoad(&largest[4]);
  // 6. The mix of p̂: teams take positions in turns, a lane four components; columns of eight bits become limbs of 16, which add up in any order. Meanwhile
  // one of the last 32 lanes finds 1/Z.
  if (lane == LANES - 32u) {
    let low = atomicLoad(&limbs[0]);
    let middle = atomicLoad(&limbs[1]);
    let high = atomicLoad(&limbs[2]);
    one_over = recipf(rn64u(false, add64(vec2<u32>(low, high << 12u), vec2<u32>(middle << 22u, middle >> 10u)), -46));
  }
  if (j < MIXED_WORDS && part + j < WORDS && team < TEAMS) {
    var i = team;
    while (i < count) {
      var c = Mixed();
      let stop = min(count, i + MIXED_AT_ONCE * TEAMS);
      while (i < stop) {
        var d = w[0];
        if (first + i >= last) { d = vec3<u32>(made[384u + part + j], made[448u + part + j], made[512u + part + j]); }
        c = mixed(c, fix32(cells[i], row_biased(greatest)), d);
        // Those of four turns on take the last one's place.
        w[0] = w[1]; w[1] = w[2]; w[2] = w[3];
        w[3] = value_words(min(first + i + 4u * TEAMS, before), g, part + j);
        i += TEAMS;
      }
      put_mixed(c, j);
    }
  }
  workgroupBarrier();
  // 7. A component per lane, rounded once, over Z.
  let own_part = 4u * part + lane;
  if (lane < 4u * MIXED_WORDS && own_part < HD) {
    out[h * HD + own_part] = mulf(rn96(mixed_total(lane), row_exponent(greatest) - 8), one_over);
  }
}
`,
    emits: ["HELD"],
    workgroupBytes: ({ Hd, lanes = 256, parts = 1 }) => 3712 + 32 + 2304 + 8 * lanes + 32 + 64 * columnOf(4 * mixedWords(Hd, parts)),
    call: ({ H, G, Hd, window, factor, lanes = 256, parts = 1 }) => ({
      params: { factor },
      overrides: {
        H,
        G,
        HD: Hd,
        WINDOW: window ?? 0xffffffff,
        MIXED_WORDS: mixedWords(Hd, parts),
        COLUMN: columnOf(4 * mixedWords(Hd, parts)),
        PARTS: parts,
        LANES: lanes,
      },
      emitted: { HELD: `${Math.ceil(Math.ceil(Hd / 4) / 4)}u` },
      workgroups: () => [H * parts, 1, 1],
    }),
    sizes: (shape, _T, start) => ({
      q: 4 * shape.H * shape.Hd,
      k: 4 * shape.G * shape.Hd,
      v: 4 * shape.G * shape.Hd,
      table: 4 * (start + 1) * shape.Hd,
      ...exactCacheBytes(shape, start + 1),
      out: 4 * shape.H * shape.Hd,
    }),
  });

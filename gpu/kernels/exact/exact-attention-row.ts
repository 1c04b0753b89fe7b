/**
 * exact-rope.ts, exact-scores.ts, exact-softmax.ts and exact-mix.ts in one, for one row whose keys fit a workgroup: from q [H, Hd], k, v [G, Hd] before the
 * rotation, and the caches of the positions before step.start, to out [H, Hd]; k and v become the caches' rows at step.start. A workgroup of 256 per head
 * of q; the first of those that share a key/value head writes the cache, the others make its digits for themselves. Four lanes a score, then teams that
 * share the positions of the mix. start < 928. Hd ≤ 256. Workgroup memory: 13 to 15 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  exact96,
  exactDigitsOf,
  exactIntegers,
  exactNumbers,
  exactOrder,
  exactPower,
  exactReciprocal,
  exactRows,
  exactRows32,
} from "../../wgsl/exact.ts";
import { exactMixing, exactScoring, exactWeighing } from "../../wgsl/exact-attention.ts";
import { exactRowMax, exactRowSum, exactWordOf, rowMaxBytes, rowSumBytes } from "../../wgsl/exact-row.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { columnOf, type ExactRopeShape, exactCacheBytes } from "./exact-rope.ts";

/** Positions that a workgroup holds the scores of. */
export const ROW_KEYS = 928;

export const exactAttentionRow: Card<"step" | "q" | "k" | "v" | "table" | "keys" | "values" | "exponents" | "out", ExactRopeShape> =
  makeCard({
    name: "exact-attention-row",
    wgsl: /* wgsl */ `
${stepWgsl}
struct Params { factor: u32 }
override H: u32 = 32u;
override G: u32 = 8u;
override HD: u32 = 128u;
override WORDS: u32 = (HD + 3u) / 4u;
override COLUMN: u32 = 32u; // WORDS rounded up to a power of two
override WINDOW: u32 = 0xffffffffu;
override KEYS: u32 = 64u; // scored at once
override SHARE: u32 = LANES / KEYS;
const LANES = 256u;
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
var<workgroup> cells: array<u32, 928>; // first the heads [q, k, v][256], then [keys]: scores, p, p̂
var<workgroup> largest: array<atomic<u32>, 3>;
var<workgroup> made: array<u32, 576>; // [q, k, v][3 digits][64 words]
${exactIntegers}${exactNumbers}${exact96}${exactRows}${exactRows32}${exactDigitsOf}${exactPower}${exactReciprocal}${exactOrder}${exactRowMax}${exactRowSum}${exactScoring}${exactWeighing}${exactMixing}${exactWordOf}
fn turned(a: u32, b: u32, c: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(addf(mulf(a, c.x), negf(mulf(b, c.y))), addf(mulf(b, c.x), mulf(a, c.y)));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = wg.x;
  let g = h * G / H;
  let last = step.start;
  let first = select(0u, last + 1u - min(last + 1u, WINDOW), WINDOW <= last);
  let half = HD / 2u;
  // 1. The head of q, turned and times the score factor, and those of k and v that it goes with.
  clear_mixed(lane);
  if (lane < 3u) { atomicStore(&largest[lane], 0u); }
  workgroupBarrier();
  for (var i = lane; i < 3u * half; i += LANES) {
    let what = i / half;
    let a = i % half;
    let b = a + half;
    var y: vec2<u32>;
    if (what == 0u) { y = vec2<u32>(q[h * HD + a], q[h * HD + b]); }
    else if (what == 1u) { y = vec2<u32>(k[g * HD + a], k[g * HD + b]); }
    else { y = vec2<u32>(v[g * HD + a], v[g * HD + b]); }
    if (what < 2u) { y = turned(y.x, y.y, table[last * half + a]); }
    if (what == 0u) { y = vec2<u32>(mulf(y.x, params.factor), mulf(y.y, params.factor)); }
    cells[256u * what + a] = y.x;
    cells[256u * what + b] = y.y;
    atomicMax(&largest[what], max(y.x & 0x7fffffffu, y.y & 0x7fffffffu));
  }
  workgroupBarrier();
  // 2. Their digits, and the cache's rows.
  let writes = h == 0u || (h - 1u) * G / H != g;
  for (var i = lane; i < 3u * WORDS; i += LANES) {
    let what = i / WORDS;
    let j = i % WORDS;
    let biased = row_biased(atomicLoad(&largest[what]));
    var word = vec4<u32>(0u);
    for (var c = 0u; c < 4u; c++) {
      if (4u * j + c < HD) { word[c] = cells[256u * what + 4u * j + c]; }
    }
    let words = word_of(fix24(word.x, biased), fix24(word.y, biased), fix24(word.z, biased), fix24(word.w, biased)).digits;
    for (var p = 0u; p < 3u; p++) {
      made[192u * what + 64u * p + j] = words[p];
      if (writes && what == 1u) { keys[((last / 32u * G + g) * 3u * WORDS + p * WORDS + j) * 32u + last % 32u] = words[p]; }
      if (writes && what == 2u) { values[(last * G + g) * 3u * WORDS + p * WORDS + j] = words[p]; }
    }
  }
  let eq = row_exponent(atomicLoad(&largest[0]));
  let ek = row_exponent(atomicLoad(&largest[1]));
  let ev = row_exponent(atomicLoad(&largest[2]));
  if (writes && lane == 0u) {
    exponents[(last * G + g) * 2u] = ek;
    exponents[(last * G + g) * 2u + 1u] = ev;
  }
  workgroupBarrier();
  // 3. Scores: SHARE lanes of a key take words in turns.
  let count = last + 1u - first;
  let share = lane / KEYS;
  for (var from_key = first; from_key <= last; from_key += KEYS) {
    let s = from_key + lane % KEYS;
    let key = (s / 32u * G + g) * 3u * WORDS * 32u + s % 32u;
    var e = ek;
    if (s < last) { e = exponents[(s * G + g) * 2u]; }
    var c = Scored();
    for (var i = 0u; i < (WORDS + SHARE - 1u) / SHARE; i++) {
      let j = i * SHARE + share;
      if (j < WORDS) {
        let a = vec3<u32>(made[j], made[64u + j], made[128u + j]);
        var b = vec3<u32>(made[192u + j], made[256u + j], made[320u + j]);
        if (s < last) { b = vec3<u32>(keys[key + 32u * j], keys[key + 32u * (WORDS + j)], keys[key + 32u * (2u * WORDS + j)]); }
        c = scored(c, a, b);
      }
    }
    var sum = score_sum(c);
    sums_of[lane] = vec3<u32>(sum, 0u);
    workgroupBarrier();
    if (lane < KEYS && s <= last) {
      for (var i = 1u; i < SHARE; i++) { sum = add64(sum, sums_of[lane + i * KEYS].xy); }
      cells[s - first] = rn64(sum, eq + e);
    }
    workgroupBarrier();
  }
  // 4. Weights: 2^30 · 2^−d; their sum in units of 2^−46; p; p̂: each lane takes what it wrote itself.
  var top = 0u;
  for (var i = lane; i < count; i += LANES) { top = max(top, ordered(cells[i])); }
  let most = unordered(row_max(lane, top));
  var Z = vec2<u32>(0u);
  top = 0u;
  for (var i = lane; i < count; i += LANES) {
    var e = ev;
    if (first + i < last) { e = exponents[((first + i) * G + g) * 2u + 1u]; }
    let m = weighed(most, cells[i]);
    Z = add64(Z, m.w);
    let p = share_of(m, e);
    cells[i] = p;
    top = max(top, p);
  }
  let greatest = row_max(lane, top);
  for (var i = lane; i < count; i += LANES) { cells[i] = bitcast<u32>(fix32(cells[i], row_biased(greatest))); }
  let all = row_sum(lane, Z);
  // 5. The mix: teams take positions in turns, a lane four components; columns of eight bits become limbs of 16, which add up in any order.
  let j = lane % COLUMN;
  let teams = LANES / COLUMN;
  if (j < WORDS) {
    var i = lane / COLUMN;
    while (i < count) {
      var c = Mixed();
      for (var n = 0u; n < MIXED_AT_ONCE / 4u && i < count; n++) {
        // Four positions' reads, then their products.
        var p: array<i32, 4>;
        var w: array<vec3<u32>, 4>;
        for (var k = 0u; k < 4u; k++) {
          let s = i + k * teams;
          let at = ((first + s) * G + g) * 3u * WORDS + j;
          p[k] = select(0, bitcast<i32>(cells[min(s, 927u)]), s < count);
          w[k] = vec3<u32>(made[384u + j], made[448u + j], made[512u + j]);
          if (first + s < last) { w[k] = vec3<u32>(values[at], values[at + WORDS], values[at + 2u * WORDS]); }
        }
        for (var k = 0u; k < 4u; k++) { c = mixed(c, p[k], w[k]); }
        i += 4u * teams;
      }
      put_mixed(c, j);
    }
  }
  workgroupBarrier();
  // 6. A component per lane, rounded once, over Z.
  if (lane < HD) {
    out[h * HD + lane] = mulf(rn96(mixed_total(lane), row_exponent(greatest) - 8), recipf(rn64u(false, all, -46)));
  }
}
`,
    workgroupBytes: ({ Hd }) => 3712 + 16 + 2304 + 64 * columnOf(Hd) + rowMaxBytes(256) + rowSumBytes(256),
    call: ({ H, G, Hd, window, factor }) => ({
      params: { factor },
      overrides: { H, G, HD: Hd, WINDOW: window ?? 0xffffffff, COLUMN: columnOf(Hd) },
      workgroups: () => [H, 1, 1],
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

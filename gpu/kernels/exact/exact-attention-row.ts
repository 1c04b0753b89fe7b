/**
 * exact-rope.ts, exact-scores.ts, exact-softmax.ts and exact-mix.ts in one, for one row whose keys fit a workgroup: from q [H, Hd], k, v [G, Hd] before the
 * rotation, and the caches of the positions before step.start, to out [H, Hd]; k and v become the caches' rows at step.start. A workgroup of 256 per head
 * of q; the first of those that share a key/value head writes the cache, the others make its digits for themselves. Four lanes a score, then teams that
 * share the positions of the mix, as in exact-mix.ts. start < 928. Hd ≤ 256. Workgroup memory: 15.9 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  exact96,
  exactDigitsOf,
  exactIntegers,
  exactMixing,
  exactNumbers,
  exactOrder,
  exactPower,
  exactReciprocal,
  exactRowMax,
  exactRowSum,
  exactRows,
  exactRows32,
} from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type ExactRopeShape, exactCacheBytes, wordsOf } from "./exact-rope.ts";

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
var<workgroup> rows: array<u32, 768>; // [q, k, v][256]
var<workgroup> largest: array<atomic<u32>, 3>;
var<workgroup> made: array<u32, 576>; // [q, k, v][3 digits][64 words]
var<workgroup> scores: array<u32, 928>; // [keys]
var<workgroup> parts: array<vec3<u32>, 256>;
${exactIntegers}${exactNumbers}${exact96}${exactRows}${exactRows32}${exactDigitsOf}${exactPower}${exactReciprocal}${exactOrder}${exactRowMax}${exactRowSum}${exactMixing}
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
  if (lane < 3u) { atomicStore(&largest[lane], 0u); }
  workgroupBarrier();
  for (var i = lane; i < 3u * half; i += LANES) {
    let what = i / half;
    let a = i % half;
    let b = a + half;
    var y = vec2<u32>(0u);
    if (what == 0u) {
      y = turned(q[h * HD + a], q[h * HD + b], table[last * half + a]);
      y = vec2<u32>(mulf(y.x, params.factor), mulf(y.y, params.factor));
    } else if (what == 1u) { y = turned(k[g * HD + a], k[g * HD + b], table[last * half + a]); }
    else { y = vec2<u32>(v[g * HD + a], v[g * HD + b]); }
    rows[256u * what + a] = y.x;
    rows[256u * what + b] = y.y;
    atomicMax(&largest[what], max(y.x & 0x7fffffffu, y.y & 0x7fffffffu));
  }
  workgroupBarrier();
  // 2. Their digits, and the cache's rows.
  let writes = h == 0u || (h - 1u) * G / H != g;
  for (var i = lane; i < 3u * WORDS; i += LANES) {
    let what = i / WORDS;
    let j = i % WORDS;
    var words = vec3<u32>(0u);
    for (var c = 0u; c < 4u; c++) {
      if (4u * j + c < HD) {
        let d = digits_of(fix24(rows[256u * what + 4u * j + c], row_biased(atomicLoad(&largest[what]))));
        words |= vec3<u32>(byte_of(d.x, c), byte_of(d.y, c), byte_of(d.z, c));
      }
    }
    for (var p = 0u; p < 3u; p++) {
      made[192u * what + 64u * p + j] = words[p];
      if (writes && what == 1u) { keys[((last / 32u * G + g) * 3u * WORDS + p * WORDS + j) * 32u + last % 32u] = words[p]; }
      if (writes && what == 2u) { values[(last * G + g) * 3u * WORDS + p * WORDS + j] = words[p]; }
    }
  }
  if (writes && lane >= 1u && lane < 3u) { exponents[(last * G + g) * 2u + lane - 1u] = row_exponent(atomicLoad(&largest[lane])); }
  workgroupBarrier();
  // 3. Scores: the lanes of a key take words in turns.
  let eq = row_exponent(atomicLoad(&largest[0]));
  let ek = row_exponent(atomicLoad(&largest[1]));
  let ev = row_exponent(atomicLoad(&largest[2]));
  for (var from_key = first; from_key <= last; from_key += LANES / 4u) {
    let s = from_key + lane / 4u;
    var c0 = 0; var c1 = 0; var c2 = 0; var c3 = 0; var c4 = 0;
    if (s <= last) {
      let key = (s / 32u * G + g) * 3u * WORDS * 32u + s % 32u;
      for (var j = lane % 4u; j < WORDS; j += 4u) {
        let a = vec3<u32>(made[j], made[64u + j], made[128u + j]);
        var b = vec3<u32>(made[192u + j], made[256u + j], made[320u + j]);
        if (s < last) { b = vec3<u32>(keys[key + 32u * j], keys[key + 32u * (WORDS + j)], keys[key + 32u * (2u * WORDS + j)]); }
        c0 += dot4I8Packed(a.x, b.x);
        c1 += dot4I8Packed(a.x, b.y) + dot4I8Packed(a.y, b.x);
        c2 += dot4I8Packed(a.x, b.z) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.x);
        c3 += dot4I8Packed(a.y, b.z) + dot4I8Packed(a.z, b.y);
        c4 += dot4I8Packed(a.z, b.z);
      }
    }
    var sum = wide64(c4);
    sum = add64(shl64(sum, 8u), wide64(c3));
    sum = add64(shl64(sum, 8u), wide64(c2));
    sum = add64(shl64(sum, 8u), wide64(c1));
    sum = add64(shl64(sum, 8u), wide64(c0));
    parts[lane] = vec3<u32>(sum, 0u);
    workgroupBarrier();
    let t = from_key + lane;
    if (lane < LANES / 4u && t <= last) {
      let i = 4u * lane;
      let all = add64(add64(parts[i].xy, parts[i + 1u].xy), add64(parts[i + 2u].xy, parts[i + 3u].xy));
      var e = ek;
      if (t < last) { e = exponents[(t * G + g) * 2u]; }
      scores[t - first] = rn64(all, eq + e);
    }
    workgroupBarrier();
  }
  // 4. Weights: 2^30 · 2^−d; their sum in units of 2^−46; p; p̂.
  let count = last + 1u - first;
  var top = 0u;
  for (var i = lane; i < count; i += LANES) { top = max(top, ordered(scores[i])); }
  let most = unordered(row_max(lane, top));
  var Z = vec2<u32>(0u);
  top = 0u;
  for (var i = lane; i < count; i += LANES) {
    let D = distance(addf(most, negf(scores[i])));
    let n = D >> 24u;
    let W = power(D & 0xffffffu);
    var w = vec2<u32>(W << 16u, W >> 16u);
    if (n > 31u) { w = vec2<u32>(w.y, 0u); }
    w = vec2<u32>((w.x >> (n & 31u)) | ((w.y << 1u) << (31u - (n & 31u))), w.y >> (n & 31u));
    Z = add64(Z, w);
    var e = ev;
    if (first + i < last) { e = exponents[((first + i) * G + g) * 2u + 1u]; }
    let p = select(rn32(false, W, e - 30 - i32(n)), 0u, (w.x | w.y) == 0u);
    scores[i] = p;
    top = max(top, p);
  }
  let biased = row_max(lane, top);
  let inverse = recipf(rn64u(false, row_sum(lane, Z), -46));
  for (var i = lane; i < count; i += LANES) { scores[i] = bitcast<u32>(fix32(scores[i], row_biased(biased))); }
  workgroupBarrier();
  // 5. The mix.
  let j = lane % COLUMN;
  let teams = LANES / COLUMN;
  var total = array<vec3<u32>, 4>();
  if (j < WORDS) {
    var i = lane / COLUMN;
    while (i < count) {
      var c = Mixed();
      for (var n = 0u; n < MIXED_AT_ONCE && i < count; n++) {
        let at = ((first + i) * G + g) * 3u * WORDS + j;
        var w = vec3<u32>(made[384u + j], made[448u + j], made[512u + j]);
        if (first + i < last) { w = vec3<u32>(values[at], values[at + WORDS], values[at + 2u * WORDS]); }
        c = mixed(c, bitcast<i32>(scores[i]), w);
        i += teams;
      }
      for (var n = 0u; n < 4u; n++) { total[n] = add96(total[n], fold(c, n)); }
    }
  }
  // 6. Teams, a component at a time.
  for (var n = 0u; n < 4u; n++) {
    parts[lane] = total[n];
    workgroupBarrier();
    if (lane < WORDS && 4u * lane + n < HD) {
      var sum = parts[lane];
      for (var i = 1u; i < teams; i++) { sum = add96(sum, parts[lane + i * COLUMN]); }
      out[h * HD + 4u * lane + n] = mulf(rn96(sum, row_exponent(biased) - 8), inverse);
    }
    workgroupBarrier();
  }
}
`,
    workgroupBytes: 16272,
    call: ({ H, G, Hd, window, factor }) => ({
      params: { factor },
      overrides: { H, G, HD: Hd, WINDOW: window ?? 0xffffffff, COLUMN: 2 ** Math.ceil(Math.log2(wordsOf(Hd))) },
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

/**
 * attention.ts for many queries: out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g, :] by tiles of 64 rows
 * × 32 keys; a row is a query of one of the heads that share keys, row r of group g query ⌊r·G/H⌋ of head g·H/G + r mod
 * H/G. "Online" softmax (Milakov & Gimelshein 2018, arXiv 1805.02867): two invocations per row find a tile's maximum and
 * sum. A workgroup of 128 stands 16 × 8: for the scores 2 keys × 8 rows each, q and k by 16 of Hd through workgroup
 * memory; for the values 8 components × 8 rows each, v read from the cache. Components beyond 128 are another
 * workgroup's, with the same scores. Hd a multiple of 8, H of G. Workgroup memory 16 KiB. A row's order of sums depends on
 * its position in the tile's keys alone: the same bits for every T. Limited by f32 arithmetic.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { cacheOverrideWgsl } from "../../wgsl/cache.ts";
import { each as eachOf } from "../../wgsl/repeat.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type AttentionParams, attentionSizes } from "./attention.ts";

/** Whether heads are such as it takes. */
export const takesHeads = ({ H, G, Hd }: Pick<AttentionParams, "H" | "G" | "Hd">): boolean => Hd % 8 === 0 && H % G === 0;

const each = (line: (i: number) => string): string => eachOf(8, line);

export const attentionTile: Card<"step" | "q" | "keys" | "values" | "out", AttentionParams> = makeCard({
  name: "attention-tile",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { perGroup: u32, G: u32, Hd: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;
${cacheOverrideWgsl}
const LOWEST = -0x1.fffffep+127f;
var<workgroup> left: array<vec4<f32>, 256>; // 64 rows of q × 16, quad c of row r at 4 r + (c ^ ((r >> 1) & 3))
var<workgroup> right: array<vec4<f32>, 128>; // 32 keys × 16
var<workgroup> scores: array<f32, 2112>; // 64 rows, 33 apart; then their weights
var<workgroup> maxima: array<f32, 128>; // two a row
var<workgroup> sums: array<f32, 128>;
var<workgroup> carried: array<f32, 64>; // what a row's sums so far are multiplied by; at last 1 / Σ

fn quad(word: vec2<u32>, next: vec2<u32>) -> vec4<f32> {
  if (CACHE_F16) { return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y)); }
  return bitcast<vec4<f32>>(vec4<u32>(word, next));
}
fn key_quad(i: u32) -> vec4<f32> {
  if (CACHE_F16) { return quad(keys[i], vec2<u32>(0u)); }
  return quad(keys[2u * i], keys[2u * i + 1u]);
}
fn value_quad(i: u32) -> vec4<f32> {
  if (CACHE_F16) { return quad(values[i], vec2<u32>(0u)); }
  return quad(values[2u * i], values[2u * i + 1u]);
}
struct Pair { a: vec4<f32>, b: vec4<f32> }
fn value_pair(i: u32) -> Pair { return Pair(value_quad(i), value_quad(i + 1u)); }
fn place(row: u32, at: u32) -> u32 { return 4u * row + (at ^ ((row >> 1u) & 3u)); }
// Where the row of a query and head begins in q and out, in quads.
fn row_at(row: u32, group: u32) -> u32 {
  let head = group * params.perGroup + row % params.perGroup;
  return (row / params.perGroup * (params.G * params.perGroup) + head) * (params.Hd / 4u);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let group = workgroup.y;
  let quads = params.Hd / 4u;
  let row0 = workgroup.x * 64u;
  let lastRow = step.T * params.perGroup - 1u;
  let lastKey = step.start + step.T - 1u;
  let tx = lane % 16u;
  let ty = lane / 16u;
  // The row of whose softmax this invocation makes a half.
  let mine = lane / 2u;
  let half = lane % 2u;
  let position = step.start + min(row0 + mine, lastRow) / params.perGroup;
  var most = LOWEST;
  var total = 0.0;
  // Eight components of values.
  let column = workgroup.z * 32u + 2u * tx;
  let from_ = min(column, quads - 2u);
  ${each((i) => `var o${i} = vec4<f32>(0.0); var p${i} = vec4<f32>(0.0);`)}
  var base = 0u;
  let earliest = step.start + row0 / params.perGroup + 1u;
  if (params.window > 0u && earliest > params.window) { base = (earliest - params.window) / 32u * 32u; }
  let end = step.start + min(row0 + 63u, lastRow) / params.perGroup;
  for (; base <= end; base += 32u) {
    ${each((i) => `var a${i} = 0.0; var b${i} = 0.0;`)}
    let keyAt = (min(base + lane / 4u, lastKey) * params.G + group) * quads;
    let queryAt = row_at(min(row0 + lane / 4u, lastRow), group);
    let nextAt = row_at(min(row0 + 32u + lane / 4u, lastRow), group);
    let part = lane % 4u;
    var at = min(part, quads - 1u);
    var x = q[queryAt + at];
    var y = q[nextAt + at];
    var key = key_quad(keyAt + at);
    for (var c = 0u; c < quads; c += 4u) {
      let alive = select(0.0, 1.0, c + part < quads);
      workgroupBarrier();
      left[place(lane / 4u, part)] = x * alive;
      left[place(32u + lane / 4u, part)] = y * alive;
      right[place(lane / 4u, part)] = key * alive;
      workgroupBarrier();
      // The next 16 components are on their way.
      at = min(c + 4u + part, quads - 1u);
      x = q[queryAt + at];
      y = q[nextAt + at];
      key = key_quad(keyAt + at);
      for (var i = 0u; i < 4u; i++) {
        let k0 = right[place(tx, i)];
        let k1 = right[place(tx, i) + 64u];
        ${each((i) => `{ let x = left[place(ty, i) + ${32 * i}u]; a${i} = fma(x.w, k0.w, fma(x.z, k0.z, fma(x.y, k0.y, fma(x.x, k0.x, a${i})))); b${i} = fma(x.w, k1.w, fma(x.z, k1.z, fma(x.y, k1.y, fma(x.x, k1.x, b${i})))); }`)}
      }
    }
    ${each((i) => `scores[(ty + ${8 * i}u) * 33u + tx] = a${i} * params.scale; scores[(ty + ${8 * i}u) * 33u + tx + 16u] = b${i} * params.scale;`)}
    workgroupBarrier();
    // Keys of this half of the tile that the row sees: from … until.
    let own = mine * 33u + half * 16u;
    let until = min(16u, max(position + 1u, base + half * 16u) - (base + half * 16u));
    var first = 0u;
    if (params.window > 0u && position + 1u > params.window + base + half * 16u) { first = position + 1u - params.window - base - half * 16u; }
    var highest = LOWEST;
    for (var i = first; i < until; i++) { highest = max(highest, scores[own + i]); }
    maxima[lane] = highest;
    workgroupBarrier();
    let higher = max(most, max(maxima[2u * mine], maxima[2u * mine + 1u]));
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
      var weight = 0.0;
      if (i >= first && i < until) { weight = exp(scores[own + i] - higher); }
      scores[own + i] = weight;
      sum += weight;
    }
    sums[lane] = sum;
    var carry = 0.0;
    if (most != LOWEST) { carry = exp(most - higher); }
    carried[mine] = carry;
    most = higher;
    workgroupBarrier();
    total = total * carry + (sums[2u * mine] + sums[2u * mine + 1u]);
    ${each((i) => `{ let carry = carried[ty + ${8 * i}u]; o${i} *= carry; p${i} *= carry; }`)}
    // Four keys at a time, so that their values are on their way together; a key behind the last has weight 0.
    let seen = min(32u, end + 1u - base);
    for (var i = 0u; i < seen; i += 4u) {
      let weightAt = ty * 33u + i;
      ${eachOf(4, (n) => `let v${n} = value_pair((min(base + i${n > 0 ? ` + ${n}u` : ""}, end) * params.G + group) * quads + from_);`, "\n      ")}
      ${eachOf(4, (n) => each((i) => `{ let w = vec4<f32>(scores[weightAt + ${264 * i + n}u]); o${i} = fma(w, v${n}.a, o${i}); p${i} = fma(w, v${n}.b, p${i}); }`), "\n      ")}
    }
  }
  workgroupBarrier();
  carried[mine] = 1.0 / total;
  workgroupBarrier();
  ${each((i) => `{ let row = row0 + ty + ${8 * i}u; if (row <= lastRow && column < quads) { let at = row_at(row, group) + column; out[at] = o${i} * carried[ty + ${8 * i}u]; out[at + 1u] = p${i} * carried[ty + ${8 * i}u]; } }`)}
}
`,
  workgroupBytes: 16 * (256 + 128) + 4 * (2112 + 128 + 128 + 64),
  call: ({ H, G, Hd, window, dtype }) => ({
    params: { perGroup: H / G, G, Hd, window: window ?? 0, scale: 1 / Math.sqrt(Hd) },
    overrides: { CACHE_F16: dtype === "f16" },
    workgroups: (T) => [Math.ceil((T * H) / G / 64), G, Math.ceil(Hd / 128)],
  }),
  sizes(shape, T, start) {
    const { rows, cache } = attentionSizes(shape, T, start);
    return { q: rows, keys: cache, values: cache, out: rows };
  },
});

/**
 * out[t, h] = Σ_s softmax_s(q[t, h] · k[s]) v[s], causal, T queries from step.start on, by subgroup matrices: f16
 * operands, f32 sums; one pass over the keys ("online" softmax, Milakov & Gimelshein 2018, arXiv 1805.02867): a row weighs
 * exp(score − m), rounded to f16, m the largest score of the first tile that it sees. Only where a later score exceeds m by more than LIFT are m
 * and what was summed so far raised to it: elements of matrices are out of WGSL's reach, so sums pass through workgroup memory then, which is
 * rare. q [T, H · HEAD] f16, already · 1/√HEAD, room for T rounded up to 64; k_cache, v_cache [S, G, HEAD] f16, room for start + T rounded up to
 * 32, finite wherever they were never written; HEAD 32 to 128 in steps of 16. SPLITS = 1: out [T, H · HEAD] f32, or f16 in eights
 * (wgsl/eights.ts) with EIGHTS_OUT. SPLITS > 1: split z sees a share of the keys of at most 64 rows, leaves its mean, f32, at row 64 z + t of out
 * and (m, Σ exp(score − m)) at that of stats; one that sees no key leaves a sum of 0, and no mean. Rows past T are not written.
 *
 * Work: a workgroup of four subgroups has 64 queries of one head, the last ones first, since they have the most keys; a pair of subgroups 32 of
 * them: of a tile's scores each makes 16 keys, of the sums 64 columns. Keys by 32; two lanes turn a row's scores into weights. The tiles are
 * those of HEAD = 128: columns beyond it are zero in keys and values, and what q has there counts for nothing. Keys and values are on their way in
 * registers while others are multiplied. Two workgroups at once on a multiprocessor, of 24 KB. Limit: what surrounds the
 * products, barriers and scores on their way through workgroup memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl, eightsWords, wordWgsl } from "../../wgsl/eights.ts";
import { each, range } from "../../wgsl/repeat.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { f16Matrices, f16MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";

/** Rows of a workgroup, and of a split. */
export const SPLIT_ROWS = 64;
/** Keys of a tile. */
const KEYS = 32;
/** Rows of a pair of subgroups. */
const PAIR = 32;
/** Words of 16 bytes from a row to the next: of keys and values, of scores, of weights. */
const STAGED = 17;
const SCORES = KEYS / 4 + 2;
const WEIGHTS = KEYS / 8 + 1;
/** Matrices of 16 of a head's 128 columns; those of the sums that one of a pair has. */
const COLUMNS = 8;
const OWN = COLUMNS / 2;
/** What a score may exceed m by: e⁸ = 2981 is far from the largest f16. */
const LIFT = "8.0";

const LANES = 128;
/** Loads of a lane of a tile of keys or values, and rows from one to the next. */
const loads = range((KEYS * 16) / LANES);
const APART = LANES / 16;

const BYTES = 16 * (KEYS * STAGED + SPLIT_ROWS * (SCORES + WEIGHTS) + 1);

const both = (line: (w: number) => string): string => each(2, line);
const stage = (of: string): string => loads.map((i) => `staged[place + ${i * APART * STAGED}u] = ${of}.x${i};`).join(" ");
/** Where the upper, or lower, 16 rows of a pair begin in the scores' memory. */
const sixteen = (w: number): string => (w === 0 ? "upper" : "lower");
/** The sums' i-th columns through that memory. */
const out = (i: number): string => both((w) => `subgroupMatrixStore<row_major>(&scores, ${sixteen(w)}, o${w}${i}, ${SCORES}u);`);
const back = (i: number): string => both((w) => `o${w}${i} = subgroupMatrixLoad<Sum, row_major>(&scores, ${sixteen(w)}, ${SCORES}u);`);
const raise = "scores[one] *= carried; scores[two] *= carried; scores[one + 4u] *= carried; scores[two + 4u] *= carried;";

/**
 * Hd 32 to 128 in steps of 16; the keys in so many `splits`, of at most 64 rows; `stats` is bound, and not reached, for one. `eights`: out is f16 in
 * eights, one split; `panels`: in panels of them.
 */
export type PrefillAttentionShape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  window: number | null;
  splits?: number;
  eights?: boolean;
  panels?: boolean;
}>;

export const attentionPrefillMatrix: Card<"q" | "k_cache" | "v_cache" | "out" | "stats" | "step", PrefillAttentionShape> = makeCard({
  name: "attention-prefill-matrix",
  ...f16MatrixNeeds,
  limits: { maxComputeWorkgroupStorageSize: BYTES },
  wgsl: /* wgsl */ `
enable f16;
${matrixExtensions}

${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override WINDOW: u32 = 0xffffffffu;
override HEAD: u32 = 128u;
override SPLITS: u32 = 1u;
override EIGHTS_OUT: bool = false;
${f16Matrices}
const LOWEST = -3e38;

@group(0) @binding(0) var<storage, read> q: array<f16>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> step: Step;
var<workgroup> staged: array<vec4<u32>, ${KEYS * STAGED}>; // keys, then values
var<workgroup> scores: array<vec4<f32>, ${SPLIT_ROWS * SCORES}>;
var<workgroup> weights: array<vec4<u32>, ${SPLIT_ROWS * WEIGHTS}>;
var<workgroup> raised: array<u32, 4>; // of each subgroup: whether a row of it is

${eightsWgsl}
${wordWgsl}
fn octet(cache: ptr<storage, array<vec4<u32>>, read>, position: u32, kv: u32, i: u32) -> vec4<u32> {
  if (8u * i >= HEAD) { return vec4<u32>(0u); }
  return cache[(position * G + kv) * (HEAD / 8u) + i];
}
// What a lane brings of a tile of keys or values.
struct Loaded { ${loads.map((i) => `x${i}: vec4<u32>`).join(", ")} }
fn bring(cache: ptr<storage, array<vec4<u32>>, read>, tile: u32, kv: u32, tid: u32) -> Loaded {
  let position = ${KEYS}u * tile + tid / 16u;
  return Loaded(${loads.map((i) => `octet(cache, position + ${i * APART}u, kv, tid % 16u)`).join(", ")});
}
// Of four keys those that a row at this position sees.
fn seen(scores4: vec4<f32>, key: u32, position: u32) -> vec4<f32> {
  let k = vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u);
  return select(vec4<f32>(LOWEST), scores4, (k <= vec4<u32>(position)) & (vec4<u32>(position) - k < vec4<u32>(WINDOW)));
}
fn packed(low: vec4<f32>, high: vec4<f32>, half: u32) -> vec4<u32> {
  let read = vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
  return select(read, read.zwxy, half == 1u);
}
fn put(row: u32, head: u32, column: u32, low: vec4<f32>, high: vec4<f32>) {
  if (column >= HEAD) { return; }
  if (EIGHTS_OUT) {
    out[word_of(row, (head * HEAD + column) / 8u, H * HEAD)] = eight(low, high);
  } else {
    let at = ((row * H + head) * HEAD + column) / 4u;
    out[at] = bitcast<vec4<u32>>(low);
    out[at + 1u] = bitcast<vec4<u32>>(high);
  }
}
@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) size: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let head = wg.x;
  let kv = head / (H / G);
  let t0 = (size.y - 1u - wg.y) * ${SPLIT_ROWS}u;
  let side = sg % 2u;
  let row = tid / 2u;
  let half = tid % 2u;
  let first = step.start + t0;
  let position = first + row;
  // Tiles of keys that a row of the workgroup sees, then those of this split.
  let tiles = min(first + ${SPLIT_ROWS - 1}u, step.start + step.T - 1u) / ${KEYS}u + 1u;
  var low = 0u;
  if (first + 1u > WINDOW) { low = (first + 1u - WINDOW) / ${KEYS}u; }
  let part = (tiles - low + SPLITS - 1u) / SPLITS;
  let begin = low + wg.z * part;
  let end = min(begin + part, tiles);
  // A subgroup's rows of scores and of weights, upper and lower 16; a lane's fours of scores: neighbours read theirs in opposite orders, so that no
  // two of eight rows meet one bank; where it stages what it brings.
  let block = sg / 2u * ${PAIR}u;
  let upper = block * ${SCORES}u + side * 4u;
  let lower = upper + ${16 * SCORES}u;
  let weighed = block * ${WEIGHTS}u;
  let one = row * ${SCORES}u + half * 3u;
  let two = row * ${SCORES}u + half + 1u;
  let place = tid / 16u * ${STAGED}u + tid % 16u;
  let from0 = ((t0 + block) * H + head) * HEAD;
  let from1 = from0 + 16u * H * HEAD;
  ${each(COLUMNS, (i) => `let c${i} = ${16 * i}u % HEAD;`)}
  ${both((w) => each(COLUMNS, (i) => `let q${w}${i} = subgroupMatrixLoad<Left, row_major>(&q, from${w} + c${i}, H * HEAD);`))}
  var m = LOWEST;
  var l = 0.0;
  ${both((w) => each(OWN, (i) => `var o${w}${i} = Sum(0.0);`))}
  var k: Loaded;
  if (begin < end) { k = bring(&k_cache, begin, kv, tid); }
  for (var tile = begin; tile < end; tile++) {
    ${stage("k")}
    workgroupBarrier();
    let v = bring(&v_cache, tile, kv, tid);
    ${both((w) => `var s${w} = Sum(0.0);`)}
    ${each(
      COLUMNS,
      (i) =>
        `{ let b = subgroupMatrixLoad<Right, col_major>(&staged, side * ${16 * STAGED}u + ${2 * i}u, ${STAGED}u); ${both((w) => `s${w} = subgroupMatrixMultiplyAccumulate(q${w}${i}, b, s${w});`)} }`,
    )}
    ${both((w) => `subgroupMatrixStore<row_major>(&scores, ${sixteen(w)}, s${w}, ${SCORES}u);`)}
    workgroupBarrier();
    var e0 = scores[one];
    var e1 = scores[two];
    var e2 = scores[one + 4u];
    var e3 = scores[two + 4u];
    let key = ${KEYS}u * tile;
    if (key + ${KEYS - 1}u > first || first + ${SPLIT_ROWS - 1}u - key >= WINDOW) {
      e0 = seen(e0, key + 12u * half, position);
      e1 = seen(e1, key + 4u * half + 4u, position);
      e2 = seen(e2, key + 12u * half + 16u, position);
      e3 = seen(e3, key + 4u * half + 20u, position);
    }
    let fours = max(max(e0, e1), max(e2, e3));
    var most = max(max(fours.x, fours.y), max(fours.z, fours.w));
    most = max(most, subgroupShuffleXor(most, 1u));
    let rises = l > 0.0 && most > m + ${LIFT};
    let carried = select(1.0, exp(m - most), rises);
    if (rises || l == 0.0) { m = most; }
    let less = select(m, 0.0, m == LOWEST); // a row that sees no key yet: all weights exp(LOWEST) = 0
    ${each(4, (i) => `e${i} = exp(e${i} - less);`)}
    let sum = (e0 + e1) + (e2 + e3);
    var all = (sum.x + sum.y) + (sum.z + sum.w);
    all += subgroupShuffleXor(all, 1u);
    l = l * carried + all;
    weights[row * ${WEIGHTS}u + half] = packed(e0, e1, half);
    weights[row * ${WEIGHTS}u + half + 2u] = packed(e2, e3, half);
    let told = subgroupAny(rises);
    if (lane == 0u) { raised[sg] = u32(told); }
    ${stage("v")}
    let some = workgroupUniformLoad(&raised);
    if (some[0] + some[1] + some[2] + some[3] > 0u) {
      ${range(OWN)
        .map((i) => `${out(i)} workgroupBarrier(); ${raise} workgroupBarrier(); ${back(i)} workgroupBarrier();`)
        .join("\n      ")}
    }
    if (tile + 1u < end) { k = bring(&k_cache, tile + 1u, kv, tid); }
    for (var j = 0u; j < ${KEYS / 16}u; j++) {
      ${both((w) => `let p${w} = subgroupMatrixLoad<Left, row_major>(&weights, weighed + 2u * j + ${16 * w * WEIGHTS}u, ${WEIGHTS}u);`)}
      ${each(
        OWN,
        (i) =>
          `{ let b = subgroupMatrixLoad<Right, row_major>(&staged, j * ${16 * STAGED}u + side * ${2 * OWN}u + ${2 * i}u, ${STAGED}u); ${both((w) => `o${w}${i} = subgroupMatrixMultiplyAccumulate(p${w}, b, o${w}${i});`)} }`,
      )}
    }
    workgroupBarrier();
  }
  let inside = t0 + row < step.T;
  let to = wg.z * ${SPLIT_ROWS}u + t0 + row;
  if (SPLITS > 1u && half == 0u && inside) { stats[to * H + head] = vec2<f32>(m, l); }
  let near = select(one, two, half == 1u);
  let far = select(two, one, half == 1u);
  ${range(OWN)
    .map(
      (i) => `${out(i)} workgroupBarrier();
  if (inside) { put(to, head, 8u * half + ${16 * i}u, scores[near] / l, scores[far] / l); put(to, head, 8u * half + ${16 * OWN + 16 * i}u, scores[near + 4u] / l, scores[far + 4u] / l); }
  workgroupBarrier();`,
    )
    .join("\n  ")}
}
`,
  workgroupBytes: BYTES,
  call: ({ H, G, Hd, window, splits = 1, eights = false, panels = false }) => ({
    overrides: { H, G, HEAD: Hd, WINDOW: window ?? 0xffffffff, SPLITS: splits, EIGHTS_OUT: eights, PANELS: panels },
    workgroups: (T) => [H, Math.ceil(T / SPLIT_ROWS), splits],
  }),
  sizes({ H, G, Hd, splits = 1, eights = false, panels = false }, T, start) {
    const rows = SPLIT_ROWS * Math.ceil(T / SPLIT_ROWS);
    const cache = 2 * 32 * Math.ceil((start + T) / 32) * G * Hd;
    const written = (splits - 1) * SPLIT_ROWS + T;
    return {
      q: 2 * rows * H * Hd,
      k_cache: cache,
      v_cache: cache,
      out: eights ? 16 * eightsWords(T, H * Hd, panels) : 4 * written * H * Hd,
      stats: splits > 1 ? 8 * written * H : 0,
    };
  },
});

/**
 * out[t, h, :] = Σ_s softmax_s(q[t, h] · k[s, g]) · v[s, g, :] by subgroup matrices, over the keys s ≤ rows[t].start of slot rows[t].slot that a window
 * leaves, g = h · G/H: f16 operands, f32 sums; q [T, H, HEAD] f16, already · 1/√HEAD; caches [slots, CAPACITY, G, HEAD] f16. A workgroup of four
 * subgroups has a row and up to eight heads of one g, which are the columns of its matrices: a subgroup takes a share of the keys, 32 at a time,
 * 16 staged while the next 32 are on their way in registers. It keeps each head's running maximum (Milakov & Gimelshein 2018, arXiv
 * 1805.02867); a weight exp(score − maximum) is rounded to f16. Elements of matrices are out of WGSL's reach, so those of a turn are added to what
 * went before by the lanes. SPLITS = 1: out f16 in eights (wgsl/eights.ts) with EIGHTS_OUT, else f32. SPLITS
 * > 1: split z sees a share of a row's keys, leaves its mean, f32, at row 64 z + t of out and (largest score, Σ exp) at that of stats [64
 * SPLITS, H]; one that sees no key leaves (lowest, 0) and no mean; prefill-rows-f16.ts joins them. The order of all sums depends on position and
 * SPLITS alone. HEAD a multiple of 16, at most 256; H one of G. Workgroup memory 22 KB of HEAD = 128. Limited by the bytes of the caches.
 */
import { f16Matrix8 } from "../../device/capabilities.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";
import { each, range } from "../../wgsl/repeat.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { SPLIT_ROWS } from "../prefill/attention-prefill-matrix.ts";

/** Subgroups of a workgroup; tiles of 16 keys in a turn of one; heads that share them; tiles on their way. */
const SUBGROUPS = 4;
const TILES = 2;
const HEADS = 8;
const AHEAD = 2;
const LANES = 32 * SUBGROUPS;
/** Words of 16 bytes from a head's scores to the next one's: those of a turn, f32, and one that parts banks. */
const SCORES = 4 * TILES + 1;
/** HEAD / 16 at most. */
const MOST = 16;

const bytes = (Hd: number): number => 16 * SUBGROUPS * (16 * (Hd / 8 + 1) + HEADS * SCORES) + 8 * SUBGROUPS * HEADS;

/** A statement per 16 columns of a head, those that it has. */
const perColumns = (line: (i: number) => string): string =>
  range(MOST)
    .map((i) => (i === 0 ? line(i) : `if (HEAD > ${16 * i}u) { ${line(i)} }`))
    .join(" ");

/** A turn stages the tiles of its keys, then of its values; tile s of it, or of the turns after, into its registers. */
function load(s: number): string {
  const [turn, within] = [Math.floor(s / (2 * TILES)), s % (2 * TILES)];
  const first = `from_ + ${16 * ((within % TILES) + turn * TILES)}u`;
  const cache = within < TILES ? "keys" : "values";
  return `for (var j = 0u; j < EIGHTS / 2u; j++) { ahead${s % AHEAD}[j] = ${cache}[eighth(slot + min(${first} + rowOf(lane, j), last), g) + columnOf(lane, j)]; }`;
}
const stage = (s: number): string => `
    workgroupBarrier();
    for (var j = 0u; j < EIGHTS / 2u; j++) { memory[own + rowOf(lane, j) * ROW + columnOf(lane, j)] = ahead${s % AHEAD}[j]; }
    ${load(s + AHEAD)}
    workgroupBarrier();`;

/** As AttentionParams of attention.ts, with the slots and the positions of one; keys in so many `splits`, of at most 64 rows. */
export type BatchAttentionMatrixShape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  window: number | null;
  slots: number;
  capacity: number;
  splits: number;
  eights: boolean;
}>;

export const batchAttentionMatrix: Card<"rows" | "q" | "keys" | "values" | "out" | "stats", BatchAttentionMatrixShape> = makeCard({
  name: "batch-attention-matrix",
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [f16Matrix8],
  limits: { maxComputeWorkgroupStorageSize: bytes(16 * MOST) },
  wgsl: /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override WINDOW: u32 = 0u; // 0: none
override CAPACITY: u32 = 1024u;
override SPLITS: u32 = 1u;
override EIGHTS_OUT: bool = true;
override EIGHTS: u32 = HEAD / 8u;
override ROW: u32 = EIGHTS + 1u; // from a row of a tile to the next, in words of 16 bytes
override SHARE: u32 = 16u * ROW + ${HEADS * SCORES}u; // of a subgroup: a tile, then scores or weights
@group(0) @binding(0) ${rowsBindingWgsl}
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, ${HEADS}, 16>;
alias Sum = subgroup_matrix_result<f32, ${HEADS}, 16>;
const LOWEST = -3e38;
var<workgroup> memory: array<vec4<u32>, ${SUBGROUPS}u * SHARE>;
var<workgroup> told: array<vec2<f32>, ${SUBGROUPS * HEADS}>; // (largest score, Σ exp) of each subgroup's heads

${eightsWgsl}
fn eighth(position: u32, g: u32) -> u32 { return (position * G + g) * EIGHTS; }
// The eight that a lane moves j-th: its row of a tile, and where in that row.
fn rowOf(lane: u32, j: u32) -> u32 { return (lane + 32u * j) / EIGHTS; }
fn columnOf(lane: u32, j: u32) -> u32 { return (lane + 32u * j) % EIGHTS; }

@compute @workgroup_size(${LANES})
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
  let tiles = ((last - base) / 16u + SPLITS * ${SUBGROUPS}u) / (SPLITS * ${SUBGROUPS}u); // of a subgroup
  var from_ = base + (wg.z * ${SUBGROUPS}u + sg) * tiles * 16u;
  let end = min(last + 1u, from_ + tiles * 16u);
  let own = sg * SHARE;
  let scores = own + 16u * ROW;
  // Queries as columns of matrices, zeros where there is no head.
  for (var i = tid; i < ${HEADS}u * EIGHTS; i += ${LANES}u) {
    var x = vec4<u32>(0u);
    if (i / EIGHTS < heads) { x = q[(t * H + first) * EIGHTS + i]; }
    memory[i / EIGHTS * ROW + i % EIGHTS] = x;
  }
  ${each(AHEAD, (s) => `var ahead${s}: array<vec4<u32>, ${MOST}>;\n  ${load(s)}\n `)}
  workgroupBarrier();
  ${each(MOST, (i) => `var q${i} = Right(0.0h);`)}
    ${perColumns((i) => `q${i} = subgroupMatrixLoad<Right, col_major>(&memory, ${2 * i}u, ROW);`)}
  // Four lanes have a head: every fourth four of its scores, of its sums.
  let head = lane / 4u;
  let part = lane % 4u;
  var most = LOWEST;
  var total = 0.0;
  var sums: array<vec4<f32>, ${MOST}>;
  for (var j = 0u; j < HEAD / 16u; j++) { sums[j] = vec4(0.0); }
  for (var tile = 0u; tile < tiles; tile += ${TILES}u) {
    ${each(
      TILES,
      (c) => `${stage(c)}
    var c${c} = Sum(0.0);
    ${perColumns((i) => `c${c} = subgroupMatrixMultiplyAccumulate(subgroupMatrixLoad<Left, row_major>(&memory, own + ${2 * i}u, ROW), q${i}, c${c});`)}
    subgroupMatrixStore<col_major>(&memory, scores + ${4 * c}u, c${c}, ${SCORES}u);`,
    )}
    workgroupBarrier();
    ${each(TILES, (c) => `let score${c} = bitcast<vec4<f32>>(memory[scores + head * ${SCORES}u + ${4 * c}u + part]);`)}
    ${each(TILES, (c) => `let seen${c} = vec4<u32>(from_ + ${16 * c}u + 4u * part) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end);`)}
    var fours = vec4(most);
    ${each(TILES, (c) => `fours = max(fours, select(vec4(LOWEST), score${c}, seen${c}));`)}
    var higher = max(max(fours.x, fours.y), max(fours.z, fours.w));
    higher = max(higher, subgroupShuffleXor(higher, 1u));
    higher = max(higher, subgroupShuffleXor(higher, 2u));
    let carried = exp(most - higher);
    most = higher;
    ${each(TILES, (c) => `let weight${c} = select(vec4(0.0), exp(score${c} - most), seen${c});`)}
    total = total * carried + ${range(TILES)
      .map((c) => `dot(weight${c}, vec4(1.0))`)
      .join(" + ")};
    workgroupBarrier();
    // Weights in the place of scores; eight of them are a word, which the first of two lanes writes.
    ${each(
      TILES,
      (c) => `let half${c} = vec2<u32>(pack2x16float(weight${c}.xy), pack2x16float(weight${c}.zw));
    let other${c} = subgroupShuffleXor(half${c}, 1u);
    if (part % 2u == 0u) { memory[scores + head * ${SCORES}u + ${2 * c}u + part / 2u] = vec4(half${c}, other${c}); }`,
    )}
    ${each(MOST, (i) => `var o${i} = Sum(0.0);`)}
    ${each(
      TILES,
      (c) => `${stage(TILES + c)}
    let w${c} = subgroupMatrixLoad<Right, col_major>(&memory, scores + ${2 * c}u, ${SCORES}u);
    ${perColumns((i) => `o${i} = subgroupMatrixMultiplyAccumulate(subgroupMatrixLoad<Left, col_major>(&memory, own + ${2 * i}u, ROW), w${c}, o${i});`)}`,
    )}
    workgroupBarrier();
    ${perColumns((i) => `subgroupMatrixStore<col_major>(&memory, own + ${4 * i}u, o${i}, 2u * ROW);`)}
    workgroupBarrier();
    for (var j = 0u; j < HEAD / 16u; j++) { sums[j] = sums[j] * carried + bitcast<vec4<f32>>(memory[own + 2u * head * ROW + part + 4u * j]); }
    from_ += ${16 * TILES}u;
  }
  // The subgroups' sums as one.
  total += subgroupShuffleXor(total, 1u);
  total += subgroupShuffleXor(total, 2u);
  workgroupBarrier();
  for (var j = 0u; j < HEAD / 16u; j++) { memory[own + 2u * head * ROW + part + 4u * j] = bitcast<vec4<u32>>(sums[j]); }
  if (part == 0u) { told[sg * ${HEADS}u + head] = vec2(most, total); }
  workgroupBarrier();
  let row = wg.z * ${SPLIT_ROWS}u + t;
  let seen = base + wg.z * ${SUBGROUPS}u * tiles * 16u <= last;
  for (var i = tid; i < heads * EIGHTS; i += ${LANES}u) {
    let h = i / EIGHTS;
    let at = 2u * (h * ROW + i % EIGHTS);
    var highest = LOWEST;
    for (var s = 0u; s < ${SUBGROUPS}u; s++) { highest = max(highest, told[s * ${HEADS}u + h].x); }
    var all = 0.0;
    var low = vec4(0.0);
    var high = vec4(0.0);
    for (var s = 0u; s < ${SUBGROUPS}u; s++) {
      let share = told[s * ${HEADS}u + h];
      let weight = exp(share.x - highest);
      all += weight * share.y;
      low += weight * bitcast<vec4<f32>>(memory[s * SHARE + at]);
      high += weight * bitcast<vec4<f32>>(memory[s * SHARE + at + 1u]);
    }
    let to = (row * H + first + h) * EIGHTS + i % EIGHTS;
    if (SPLITS == 1u && EIGHTS_OUT) {
      out[to] = eight(low / all, high / all);
    } else if (seen) {
      out[2u * to] = bitcast<vec4<u32>>(low / all);
      out[2u * to + 1u] = bitcast<vec4<u32>>(high / all);
    }
    if (SPLITS > 1u && i % EIGHTS == 0u) { stats[row * H + first + h] = vec2(highest, select(0.0, all, seen)); }
  }
}
`,
  workgroupBytes: ({ Hd }) => bytes(Hd),
  call: ({ H, G, Hd, window, capacity, splits, eights }) => ({
    overrides: { H, G, HEAD: Hd, WINDOW: window ?? 0, CAPACITY: capacity, SPLITS: splits, EIGHTS_OUT: eights },
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

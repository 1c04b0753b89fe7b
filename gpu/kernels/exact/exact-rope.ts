/**
 * The rotation of `exact` and what follows it for one head: q and k [T, heads, Hd] are turned in place by table [positions, Hd/2] of (cos, sin) words;
 * q times the score factor becomes digits, k and v become rows of the cache: fixed rows of 24 bits (docs/exact.md). One workgroup of 32 per head of q, k or v
 * and row of T. With W = ⌈Hd/4⌉ words a digit:
 * queries [T, H, 3 W + 1]: digits, then the exponent; keys [⌈S/32⌉, G, 3 W, 32]: positions side by side, for lanes that own one each;
 * values [S, G, 3 W]; exponents [S, G] of (key, value). Hd ≤ 256. Workgroup memory: 1.2 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactRows } from "../../wgsl/exact.ts";
import { exactHeads } from "../../wgsl/exact-attention.ts";
import { exactRowMax, exactWordOf, rowMaxBytes } from "../../wgsl/exact-row.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Heads, their size, and the window of the attention. */
export type ExactAttentionShape = Readonly<{ H: number; G: number; Hd: number; window: number | null }>;
/** `factor`: the word of the score factor. */
export type ExactRopeShape = ExactAttentionShape & Readonly<{ factor: number }>;

export const wordsOf = (Hd: number): number => Math.ceil(Hd / 4);
/** The same, rounded up to a power of two: lanes that share a position. */
export const columnOf = (Hd: number): number => 2 ** Math.ceil(Math.log2(wordsOf(Hd)));
/** Bytes of a layer's cache for so many positions, and of the queries of so many rows. */
export const exactCacheBytes = ({ G, Hd }: ExactAttentionShape, positions: number): Record<"keys" | "values" | "exponents", number> => ({
  keys: Math.ceil(positions / 32) * 32 * G * 3 * wordsOf(Hd) * 4,
  values: positions * G * 3 * wordsOf(Hd) * 4,
  exponents: positions * G * 8,
});
export const queryBytes = ({ H, Hd }: ExactAttentionShape, rows: number): number => rows * H * (3 * wordsOf(Hd) + 1) * 4;

export const exactRope: Card<"step" | "q" | "k" | "v" | "table" | "queries" | "keys" | "values" | "exponents", ExactRopeShape> = makeCard({
  name: "exact-rope",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { factor: u32 }
${exactHeads}
override WORDS: u32 = (HD + 3u) / 4u;
const LANES = 32u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> q: array<u32>;
@group(0) @binding(2) var<storage, read_write> k: array<u32>;
@group(0) @binding(3) var<storage, read_write> v: array<u32>; // only read; may be of one buffer with q and k
@group(0) @binding(4) var<storage, read> table: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> queries: array<u32>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<storage, read_write> exponents: array<i32>;
@group(0) @binding(9) var<uniform> params: Params;
var<workgroup> row: array<u32, 256>;
${exactIntegers}${exactNumbers}${exactRows}${exactRowMax}${exactWordOf}
fn turned(a: u32, b: u32, c: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(addf(mulf(a, c.x), negf(mulf(b, c.y))), addf(mulf(b, c.x), mulf(a, c.y)));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = wg.y;
  let s = step.start + t;
  let isQuery = wg.x < H;
  let isKey = !isQuery && wg.x < H + G;
  let g = select(wg.x - H - G, wg.x - H, isKey); // of keys and values
  for (var i = lane; i < HD / 2u; i += LANES) {
    let j = i + HD / 2u;
    if (isQuery) {
      let at = (t * H + wg.x) * HD;
      let y = turned(q[at + i], q[at + j], table[s * (HD / 2u) + i]);
      q[at + i] = y.x;
      q[at + j] = y.y;
      row[i] = mulf(y.x, params.factor);
      row[j] = mulf(y.y, params.factor);
    } else if (isKey) {
      let at = (t * G + g) * HD;
      let y = turned(k[at + i], k[at + j], table[s * (HD / 2u) + i]);
      k[at + i] = y.x;
      k[at + j] = y.y;
      row[i] = y.x;
      row[j] = y.y;
    } else {
      row[i] = v[(t * G + g) * HD + i];
      row[j] = v[(t * G + g) * HD + j];
    }
  }
  workgroupBarrier();
  var top = 0u;
  for (var i = lane; i < HD; i += LANES) { top = max(top, row[i] & 0x7fffffffu); }
  let largest = row_max(lane, top);
  let biased = row_biased(largest);
  for (var j = lane; j < WORDS; j += LANES) {
    var four = vec4<u32>(0u);
    for (var c = 0u; c < 4u; c++) {
      if (4u * j + c < HD) { four[c] = row[4u * j + c]; }
    }
    let words = word_of(fix24(four.x, biased), fix24(four.y, biased), fix24(four.z, biased), fix24(four.w, biased)).digits;
    for (var p = 0u; p < 3u; p++) {
      let at = p * WORDS + j;
      if (isQuery) { queries[(t * H + wg.x) * (3u * WORDS + 1u) + at] = words[p]; }
      else if (isKey) { keys[((s / 32u * G + g) * 3u * WORDS + at) * 32u + s % 32u] = words[p]; }
      else { values[(s * G + g) * 3u * WORDS + at] = words[p]; }
    }
  }
  if (lane == 0u) {
    let e = row_exponent(largest);
    if (isQuery) { queries[(t * H + wg.x) * (3u * WORDS + 1u) + 3u * WORDS] = bitcast<u32>(e); }
    else { exponents[(s * G + g) * 2u + select(1u, 0u, isKey)] = e; }
  }
}
`,
  workgroupBytes: 1024 + rowMaxBytes(32),
  call: ({ H, G, Hd, factor }) => ({
    params: { factor },
    overrides: { H, G, HD: Hd },
    workgroups: (T) => [H + 2 * G, T, 1],
  }),
  sizes: (shape, T, start) => ({
    q: 4 * T * shape.H * shape.Hd,
    k: 4 * T * shape.G * shape.Hd,
    v: 4 * T * shape.G * shape.Hd,
    table: 4 * (start + T) * shape.Hd,
    queries: queryBytes(shape, T),
    ...exactCacheBytes(shape, start + T),
  }),
});

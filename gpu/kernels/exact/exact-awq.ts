/**
 * y[t, n] = rn(Σ_g S_gn Σ_{k in g} v_k (q_kn − z_gn), e_t − 24), then + bias, int4 × `exact`, repacked weights (awq-repack.ts); out[t, n] = y, or add(out, y).
 * digits, sums, exponents as exact-digits.ts leaves them; weights [N/4, K/32, 4] vec4<u32>, groups [N/4, K/G, 4]; out [T, N] words.
 * K % 32 = 0, G % 32 = 0. Four teams of 64 lanes, a quad of rows each, blocks of 32 k strided over the lanes; scales as integers of
 * 40 bits, a byte at a time, digit sums times scale bytes in columns of eight bits: at most 4 · 61,440 · 255 a block, i32 to 34 blocks a
 * lane, K ≤ 69,632. A lane folds its columns into 96 bits, a tree adds lanes, one rounding a row. Rows of T go by TILE: weights are read once for
 * them. Workgroup memory: 12 KiB. Decode is limited by memory (N · K / 2 bytes), more rows by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type Digits, digitBytes } from "./exact-digits.ts";

/**
 * A linear layer as the kernels of `exact` see it. `adds`: whether the result is added to `out`; `tile`: rows of T that share a reading of
 * the weights, 1 to 4.
 */
export type ExactLinearShape = Readonly<{ K: number; N: number; P: Digits; hasBias: boolean; adds: boolean; tile: number }>;
/** Rows firstRow … of a repacked matrix, whose blocks lie by `unit`. */
export type ExactAwqShape = ExactLinearShape & Readonly<{ groupSize: number; unit: number; firstRow: number }>;

export const exactAwq: Card<"step" | "digits" | "sums" | "exponents" | "weights" | "groups" | "bias" | "out", ExactAwqShape> = makeCard({
  name: "exact-awq",
  wgsl: /* wgsl */ `
${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u;
override GROUP: u32 = 128u;
override FIRST_ROW: u32 = 0u;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override TILE: u32 = 1u; // at most 4
override UNIT: u32 = 1u;
override UNITS: u32 = BLOCKS / UNIT;
const TEAM = 64u;
const COLUMNS = 8u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> sums: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> exponents: array<i32>;
@group(0) @binding(4) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> bias: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<u32>;
var<workgroup> parts: array<vec3<u32>, 1024>; // [4 rows][4 teams][64 lanes]
${exactIntegers}${exactNumbers}${exact96}
struct Block { low: vec4<u32>, high: vec4<u32> }
fn dots(w: Block, p: u32, t: u32, b: u32) -> i32 {
  let at = (t * P + p) * 2u * BLOCKS + b;
  let x = digits[at];
  let y = digits[at + BLOCKS];
  return dot4I8Packed(w.low.x, x.x) + dot4I8Packed(w.high.x, x.y) + dot4I8Packed(w.low.y, x.z) + dot4I8Packed(w.high.y, x.w)
       + dot4I8Packed(w.low.z, y.x) + dot4I8Packed(w.high.z, y.y) + dot4I8Packed(w.low.w, y.z) + dot4I8Packed(w.high.w, y.w);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % TEAM;
  let team = tid / TEAM;
  let quads = (N + 3u) / 4u;
  let quad = min(wg.x * 4u + team, quads - 1u);
  let packed = FIRST_ROW / 4u + quad;
  let first = wg.y * TILE;
  var c: array<i32, 4u * 4u * COLUMNS>;
  for (var b = lane; b < BLOCKS; b += TEAM) {
    let group = groups[packed * GROUPS + 32u * (b % UNITS * UNIT + b / UNITS) / GROUP];
    for (var r = 0u; r < 4u; r++) {
      let w = weights[(packed * BLOCKS + b) * 4u + r];
      let nibbles = Block(w & vec4<u32>(0x0f0f0f0fu), (w >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu));
      let zero = i32(group[r] >> 16u);
      let E = (group[r] >> 10u) & 31u;
      let shift = max(E, 1u) - 1u;
      let m = (group[r] & 1023u) | select(0u, 1024u, E > 0u);
      let s = vec2<u32>(m << shift, (m >> 1u) >> (31u - shift)); // scale / 2^−24, 40 bits
      let sign = select(1, -1, (group[r] & 0x8000u) != 0u);
      for (var i = 0u; i < TILE; i++) {
        let t = min(first + i, step.T - 1u);
        let sum = sums[t * BLOCKS + b];
        let at = (i * 4u + r) * COLUMNS;
        for (var p = 0u; p < P; p++) {
          let D = (dots(nibbles, p, t, b) - zero * sum[p]) * sign;
          c[at + p] += D * i32(s.x & 255u);
          c[at + p + 1u] += D * i32((s.x >> 8u) & 255u);
          c[at + p + 2u] += D * i32((s.x >> 16u) & 255u);
          c[at + p + 3u] += D * i32(s.x >> 24u);
          c[at + p + 4u] += D * i32(s.y);
        }
      }
    }
  }
  for (var i = 0u; i < TILE; i++) {
    for (var r = 0u; r < 4u; r++) {
      var mine = vec3<u32>(0u);
      for (var k = COLUMNS; k > 0u; k--) { mine = add96(byte_up(mine), wide96(c[(i * 4u + r) * COLUMNS + k - 1u])); }
      parts[r * 256u + tid] = mine;
    }
    for (var h = TEAM / 2u; h > 0u; h = h >> 1u) {
      workgroupBarrier();
      if (lane < h) {
        for (var r = 0u; r < 4u; r++) { parts[r * 256u + tid] = add96(parts[r * 256u + tid], parts[r * 256u + tid + h]); }
      }
    }
    workgroupBarrier();
    let t = first + i;
    let n = quad * 4u + lane;
    if (lane < 4u && n < N && t < step.T && wg.x * 4u + team < quads) {
      var y = rn96(parts[lane * 256u + team * TEAM], exponents[t] - 24);
      if (HAS_BIAS) { y = addf(y, bias[n]); }
      if (ADDS) { y = addf(out[t * N + n], y); }
      out[t * N + n] = y;
    }
    workgroupBarrier();
  }
}
`,
  workgroupBytes: 16384,
  call: ({ K, N, P, hasBias, adds, tile, groupSize, unit, firstRow }) => ({
    overrides: { K, N, GROUP: groupSize, FIRST_ROW: firstRow, P, HAS_BIAS: hasBias, ADDS: adds, TILE: tile, UNIT: unit },
    workgroups: (T) => [Math.ceil(N / 16), Math.ceil(T / tile), 1],
  }),
  sizes: ({ K, N, P, hasBias, groupSize, firstRow }, T) => ({
    ...digitBytes(K, P, T),
    weights: ((firstRow + N) * K) / 2,
    groups: 4 * (firstRow + N) * (K / groupSize),
    bias: hasBias ? 4 * N : 0,
    out: 4 * T * N,
  }),
});

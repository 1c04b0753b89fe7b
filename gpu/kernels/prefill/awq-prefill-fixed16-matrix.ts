/**
 * y[t, n] (+)= Σ_b I_b · (2^e_b · s[g, n]), I_b = Σ_{k in b} v[t, k] · (q[k, n] − z[g, n]) over blocks of 128, x ≈ v ·
 * 2^e: prefill with exact integer products by subgroup matrices. digits, scales: T rows of K (wgsl/digits.ts); weights
 * [N/4, K/32], groups [N/4, K/G] of four (awq-repack.ts); y [T, N] f32. N % 128 = 0, K % 128 = 0, G % 128 = 0; digits,
 * scales and y have room for T rounded up to 64 rows, and the rows after T of y come out of whatever the others hold
 * there. q − z is an i8, both digits are; products of the high digits, times 256, and of the low ones share an i32:
 * |I_b| ≤ 128 · 32512 · 15 < 2^26, exact. The join is f32, b ascending: I_b rounds once to f32, its product with the
 * scales (that of the two scales is exact) and each sum once. Work: a workgroup of four subgroups a tile 64 × 128, K by
 * 128, the next step's loads in flight during this one's products; a subgroup 32 × 64 as 2 × 4 matrices. Elements of a
 * matrix are out of reach, so a block's sums go through workgroup memory, where the operands were, to the invocation
 * that joins them: 16 rows of four columns. Workgroup memory 35.25 KB. Limit: not found; see docs/benchmarks.md.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { DIGITS_BLOCK } from "../../wgsl/digits.ts";
import type { ProductShape } from "../../wgsl/matrix-tile.ts";
import { i8Matrices, i8MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";

/**
 * The products of one digit: of the 32 rows of a subgroup, the first 16 begin `first` words behind left0, the others
 * `second`.
 */
const products = (first: string, second: string): string => /* wgsl */ `    for (var s = 0u; s < 8u; s += 2u) {
      let p0 = subgroupMatrixLoad<Left, row_major>(&stage, left0 + ${first}, 17u);
      let p1 = subgroupMatrixLoad<Left, row_major>(&stage, left0 + ${second}, 17u);
      let q0 = subgroupMatrixLoad<Right, col_major>(&stage, right0 + s, 9u);
      c00 = subgroupMatrixMultiplyAccumulate(p0, q0, c00);
      c10 = subgroupMatrixMultiplyAccumulate(p1, q0, c10);
      let q1 = subgroupMatrixLoad<Right, col_major>(&stage, right0 + 144u + s, 9u);
      c01 = subgroupMatrixMultiplyAccumulate(p0, q1, c01);
      c11 = subgroupMatrixMultiplyAccumulate(p1, q1, c11);
      let q2 = subgroupMatrixLoad<Right, col_major>(&stage, right0 + 288u + s, 9u);
      c02 = subgroupMatrixMultiplyAccumulate(p0, q2, c02);
      c12 = subgroupMatrixMultiplyAccumulate(p1, q2, c12);
      let q3 = subgroupMatrixLoad<Right, col_major>(&stage, right0 + 432u + s, 9u);
      c03 = subgroupMatrixMultiplyAccumulate(p0, q3, c03);
      c13 = subgroupMatrixMultiplyAccumulate(p1, q3, c13);
    }
`;

export const awqPrefillFixed16Matrix: Card<"digits" | "scales" | "weights" | "groups" | "y", ProductShape> = makeCard({
  name: "awq-prefill-fixed16-matrix",
  ...i8MatrixNeeds,
  limits: { maxComputeWorkgroupStorageSize: 36096 },
  wgsl: /* wgsl */ `
${matrixExtensions}

override K: u32 = 4096u;
override N: u32 = 4096u;
override ADD: bool = false;
override GROUP: u32 = 128u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;

@group(0) @binding(0) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
${i8Matrices}
var<workgroup> stage: array<vec4<u32>, 64 * 17 + 128 * 9>; // digits, then weights; later the block's sums, 64 * 34
var<workgroup> row_scale: array<f32, 64>;

fn bytes(w: u32, zero: u32) -> u32 { return (((w & 0x0f0f0f0fu) | 0x80808080u) - zero) ^ 0x80808080u; }
fn put(at: u32, w: vec4<u32>, group: u32) {
  let z = (group >> 16u) * 0x01010101u;
  stage[at] = vec4<u32>(bytes(w.x, z), bytes(w.x >> 4u, z), bytes(w.y, z), bytes(w.y >> 4u, z));
  stage[at + 1u] = vec4<u32>(bytes(w.z, z), bytes(w.z >> 4u, z), bytes(w.w, z), bytes(w.w >> 4u, z));
}
fn sums(at: u32) -> vec4<f32> { return vec4<f32>(bitcast<vec4<i32>>(stage[at])); }
struct Tile { x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32>, x4: vec4<u32>, x5: vec4<u32>, x6: vec4<u32>, x7: vec4<u32>, w0: vec4<u32>, w1: vec4<u32>, w2: vec4<u32>, w3: vec4<u32>, g0: u32, g1: u32, g2: u32, g3: u32, scale: f32 }
fn load_tile(row0: u32, col0: u32, tid: u32, k: u32) -> Tile {
  let at = (row0 + tid / 16u) * (K / 8u) + 16u * k + tid % 16u;
  let n = col0 + tid / 4u;
  let w = ((n >> 2u) * BLOCKS + 4u * k + tid % 4u) * 4u + (n & 3u);
  let g = (n >> 2u) * GROUPS + (128u * k) / GROUP;
  return Tile(digits[at], digits[at + K], digits[at + 2u * K], digits[at + 3u * K], digits[at + 4u * K], digits[at + 5u * K], digits[at + 6u * K], digits[at + 7u * K],
              weights[w], weights[w + 32u * BLOCKS], weights[w + 64u * BLOCKS], weights[w + 96u * BLOCKS],
              groups[g][n & 3u], groups[g + 8u * GROUPS][n & 3u], groups[g + 16u * GROUPS][n & 3u], groups[g + 24u * GROUPS][n & 3u],
              scales[(row0 + tid % 64u) * (K / 128u) + k]);
}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32) {
  let row0 = wg.x * 64u;
  let col0 = wg.y * 128u;
  let a0 = (sg >> 1u) * 32u;
  let b0 = (sg & 1u) * 64u;
  let left0 = a0 * 17u;
  let right0 = 1088u + b0 * 9u;
  let to_left = tid / 16u * 17u + tid % 16u;
  let to_right = 1088u + tid / 4u * 9u + 2u * (tid % 4u);
  let to_join = a0 * 34u + b0 / 4u;
  let c4 = tid % 32u;
  let r0 = tid / 32u * 16u;
  let from_join = r0 * 34u + c4;
  var s0 = vec4<f32>(0.0); var s1 = s0; var s2 = s0; var s3 = s0; var s4 = s0; var s5 = s0; var s6 = s0; var s7 = s0;
  var s8 = s0; var s9 = s0; var s10 = s0; var s11 = s0; var s12 = s0; var s13 = s0; var s14 = s0; var s15 = s0;
  var next = load_tile(row0, col0, tid, 0u);
  for (var k = 0u; k < K / 128u; k++) {
    let now = next;
    stage[to_left] = now.x0; stage[to_left + 136u] = now.x1; stage[to_left + 272u] = now.x2; stage[to_left + 408u] = now.x3;
    stage[to_left + 544u] = now.x4; stage[to_left + 680u] = now.x5; stage[to_left + 816u] = now.x6; stage[to_left + 952u] = now.x7;
    put(to_right, now.w0, now.g0); put(to_right + 288u, now.w1, now.g1);
    put(to_right + 576u, now.w2, now.g2); put(to_right + 864u, now.w3, now.g3);
    if (tid < 64u) { row_scale[tid] = now.scale; }
    workgroupBarrier();
    if (k + 1u < K / 128u) { next = load_tile(row0, col0, tid, k + 1u); }
    var c00 = Sum(0i); var c01 = Sum(0i); var c02 = Sum(0i); var c03 = Sum(0i);
    var c10 = Sum(0i); var c11 = Sum(0i); var c12 = Sum(0i); var c13 = Sum(0i);
${products("s", "272u + s")}    c00 = subgroupMatrixScalarMultiply(c00, 256i);
    c01 = subgroupMatrixScalarMultiply(c01, 256i);
    c02 = subgroupMatrixScalarMultiply(c02, 256i);
    c03 = subgroupMatrixScalarMultiply(c03, 256i);
    c10 = subgroupMatrixScalarMultiply(c10, 256i);
    c11 = subgroupMatrixScalarMultiply(c11, 256i);
    c12 = subgroupMatrixScalarMultiply(c12, 256i);
    c13 = subgroupMatrixScalarMultiply(c13, 256i);
${products("8u + s", "280u + s")}    workgroupBarrier();
    subgroupMatrixStore<row_major>(&stage, to_join, c00, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 4u, c01, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 8u, c02, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 12u, c03, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 544u, c10, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 548u, c11, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 552u, c12, 34u);
    subgroupMatrixStore<row_major>(&stage, to_join + 556u, c13, 34u);
    let g = groups[(col0 / 4u + c4) * GROUPS + (128u * k) / GROUP];
    let s = vec4<f32>(unpack2x16float(g.x).x, unpack2x16float(g.y).x, unpack2x16float(g.z).x, unpack2x16float(g.w).x);
    workgroupBarrier();
    s0 += sums(from_join) * (row_scale[r0] * s);
    s1 += sums(from_join + 34u) * (row_scale[r0 + 1u] * s);
    s2 += sums(from_join + 68u) * (row_scale[r0 + 2u] * s);
    s3 += sums(from_join + 102u) * (row_scale[r0 + 3u] * s);
    s4 += sums(from_join + 136u) * (row_scale[r0 + 4u] * s);
    s5 += sums(from_join + 170u) * (row_scale[r0 + 5u] * s);
    s6 += sums(from_join + 204u) * (row_scale[r0 + 6u] * s);
    s7 += sums(from_join + 238u) * (row_scale[r0 + 7u] * s);
    s8 += sums(from_join + 272u) * (row_scale[r0 + 8u] * s);
    s9 += sums(from_join + 306u) * (row_scale[r0 + 9u] * s);
    s10 += sums(from_join + 340u) * (row_scale[r0 + 10u] * s);
    s11 += sums(from_join + 374u) * (row_scale[r0 + 11u] * s);
    s12 += sums(from_join + 408u) * (row_scale[r0 + 12u] * s);
    s13 += sums(from_join + 442u) * (row_scale[r0 + 13u] * s);
    s14 += sums(from_join + 476u) * (row_scale[r0 + 14u] * s);
    s15 += sums(from_join + 510u) * (row_scale[r0 + 15u] * s);
    workgroupBarrier();
  }
  let to = (row0 + r0) * (N / 4u) + col0 / 4u + c4;
  let R = N / 4u;
  if (ADD) {
    s0 += y[to]; s1 += y[to + R]; s2 += y[to + 2u * R]; s3 += y[to + 3u * R];
    s4 += y[to + 4u * R]; s5 += y[to + 5u * R]; s6 += y[to + 6u * R]; s7 += y[to + 7u * R];
    s8 += y[to + 8u * R]; s9 += y[to + 9u * R]; s10 += y[to + 10u * R]; s11 += y[to + 11u * R];
    s12 += y[to + 12u * R]; s13 += y[to + 13u * R]; s14 += y[to + 14u * R]; s15 += y[to + 15u * R];
  }
  y[to] = s0; y[to + R] = s1; y[to + 2u * R] = s2; y[to + 3u * R] = s3;
  y[to + 4u * R] = s4; y[to + 5u * R] = s5; y[to + 6u * R] = s6; y[to + 7u * R] = s7;
  y[to + 8u * R] = s8; y[to + 9u * R] = s9; y[to + 10u * R] = s10; y[to + 11u * R] = s11;
  y[to + 12u * R] = s12; y[to + 13u * R] = s13; y[to + 14u * R] = s14; y[to + 15u * R] = s15;
}
`,
  workgroupBytes: (64 * 17 + 128 * 9) * 16 + 4 * 64,
  call: ({ K, N, group, add }) => ({ overrides: { K, N, GROUP: group, ADD: add }, workgroups: (T) => [Math.ceil(T / 64), N / 128, 1] }),
  sizes({ K, N, group }, T) {
    const rows = 64 * Math.ceil(T / 64);
    return { digits: 2 * rows * K, scales: (4 * rows * K) / DIGITS_BLOCK, ...packedSizes(K, N, group), y: 4 * rows * N };
  },
});

/**
 * y[t, n] (+)= Σ_k x[t, k] · W[n, k], x f16, W int4 dequantized to f16 in workgroup memory, f32 accumulation: prefill
 * by subgroup matrices. x [T, K] f16 with each eight k in the order 0 2 4 6 1 3 5 7 (wgsl/eights.ts); weights [N/4,
 * K/32], groups [N/4, K/G] of four (awq-repack.ts); y [T, N] f32. N % 64 = 0, K % 64 = 0, G % 32 = 0; x and y have
 * room for T rounded up to 128 rows, and the rows after T of y come out of whatever x holds there. w = (q − z) · s, one
 * rounding to f16 (wgsl/eights.ts). ADD: y's tile is the start of the sum. Pieces as in
 * wgsl/matrix-tile.ts. Work: a workgroup of four subgroups a tile
 * 128 × 128, K by 64, the next step's loads in flight during this one's products; a subgroup 64 × 64 as 4 × 4 matrices;
 * two threads read the 64 weights of a row. Workgroup memory 36 KB. Limit: not found; see docs/benchmarks.md for what
 * was tried.
 */
import { f16Matrix } from "../../device/capabilities.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { eightWeightsWgsl } from "../../wgsl/eights.ts";
import { type PiecesShape, piecesOverrides, piecesRows } from "../../wgsl/matrix-tile.ts";

export const awqPrefillF16Matrix: Card<"x" | "weights" | "groups" | "y", PiecesShape> = makeCard({
  name: "awq-prefill-f16-matrix",
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [f16Matrix],
  limits: { maxComputeWorkgroupStorageSize: 36864 },
  wgsl: /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

override K: u32 = 4096u;
override N: u32 = 4096u;
override ADD: bool = false;
override GROUP: u32 = 128u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override PIECES: u32 = 1u;
override APART: u32 = 0u;
override FIRST: u32 = 0u;
override EACH: u32 = (K / 64u + PIECES - 1u) / PIECES; // steps of a piece

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;
var<workgroup> left: array<vec4<u32>, 128 * 9>;
var<workgroup> right: array<vec4<u32>, 128 * 9>;

${eightWeightsWgsl}
struct Tile { x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32>, x4: vec4<u32>, x5: vec4<u32>, x6: vec4<u32>, x7: vec4<u32>, w0: vec4<u32>, w1: vec4<u32>, g0: u32, g1: u32 }
// further: from a row's 64 weights to those of the row 64 behind it; 0 where N has none.
fn load_tile(row0: u32, n: u32, tid: u32, k: u32, further: u32) -> Tile {
  let at = (row0 + tid / 8u) * (K / 8u) + 8u * k + tid % 8u;
  let w = ((n >> 2u) * BLOCKS + 2u * k + (tid & 1u)) * 4u + (n & 3u);
  let g = ((n >> 2u) * GROUPS + (64u * k + 32u * (tid & 1u)) / GROUP) * 4u + (n & 3u);
  return Tile(x[at], x[at + 2u * K], x[at + 4u * K], x[at + 6u * K], x[at + 8u * K], x[at + 10u * K], x[at + 12u * K], x[at + 14u * K],
              weights[w], weights[w + further * BLOCKS], groups[g], groups[g + further * GROUPS]);
}
@compute @workgroup_size(128)
fn main(@builtin(num_workgroups) size: vec3<u32>, @builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32,
        @builtin(subgroup_id) sg: u32) {
  let thousand = 0x64006400u + (size.z - 1u);
  let piece = wg.x % PIECES;
  let row0 = wg.x / PIECES * 128u;
  let col0 = wg.y * 128u;
  let a0 = (sg & 1u) * 64u;
  let b0 = (sg >> 1u) * 64u;
  let further = select(0u, 64u, col0 + 64u < N);
  let inside = col0 + b0 < N;
  let at = (FIRST + piece * APART + row0 + a0) * N + col0 + b0;
  var c00 = Sum(0.0); var c01 = Sum(0.0); var c02 = Sum(0.0); var c03 = Sum(0.0);
  var c10 = Sum(0.0); var c11 = Sum(0.0); var c12 = Sum(0.0); var c13 = Sum(0.0);
  var c20 = Sum(0.0); var c21 = Sum(0.0); var c22 = Sum(0.0); var c23 = Sum(0.0);
  var c30 = Sum(0.0); var c31 = Sum(0.0); var c32 = Sum(0.0); var c33 = Sum(0.0);
  if (ADD && inside) {
    c00 = subgroupMatrixLoad<Sum, row_major>(&y, at + 0u * N + 0u, N);
    c01 = subgroupMatrixLoad<Sum, row_major>(&y, at + 0u * N + 16u, N);
    c02 = subgroupMatrixLoad<Sum, row_major>(&y, at + 0u * N + 32u, N);
    c03 = subgroupMatrixLoad<Sum, row_major>(&y, at + 0u * N + 48u, N);
    c10 = subgroupMatrixLoad<Sum, row_major>(&y, at + 16u * N + 0u, N);
    c11 = subgroupMatrixLoad<Sum, row_major>(&y, at + 16u * N + 16u, N);
    c12 = subgroupMatrixLoad<Sum, row_major>(&y, at + 16u * N + 32u, N);
    c13 = subgroupMatrixLoad<Sum, row_major>(&y, at + 16u * N + 48u, N);
    c20 = subgroupMatrixLoad<Sum, row_major>(&y, at + 32u * N + 0u, N);
    c21 = subgroupMatrixLoad<Sum, row_major>(&y, at + 32u * N + 16u, N);
    c22 = subgroupMatrixLoad<Sum, row_major>(&y, at + 32u * N + 32u, N);
    c23 = subgroupMatrixLoad<Sum, row_major>(&y, at + 32u * N + 48u, N);
    c30 = subgroupMatrixLoad<Sum, row_major>(&y, at + 48u * N + 0u, N);
    c31 = subgroupMatrixLoad<Sum, row_major>(&y, at + 48u * N + 16u, N);
    c32 = subgroupMatrixLoad<Sum, row_major>(&y, at + 48u * N + 32u, N);
    c33 = subgroupMatrixLoad<Sum, row_major>(&y, at + 48u * N + 48u, N);
  }
  let n = col0 + (tid >> 1u);
  let to_left = tid / 8u * 9u + tid % 8u;
  let to_right = (tid >> 1u) * 9u + 4u * (tid & 1u);
  let end = min((piece + 1u) * EACH, K / 64u);
  var next = load_tile(row0, n, tid, min(piece * EACH, K / 64u - 1u), further);
  for (var k = piece * EACH; k < end; k++) {
    let now = next;
    workgroupBarrier();
    left[to_left + 0u] = now.x0; left[to_left + 144u] = now.x1; left[to_left + 288u] = now.x2; left[to_left + 432u] = now.x3;
    left[to_left + 576u] = now.x4; left[to_left + 720u] = now.x5; left[to_left + 864u] = now.x6; left[to_left + 1008u] = now.x7;
    for (var j = 0u; j < 4u; j++) {
      right[to_right + j] = eight_weights(now.w0[j], now.g0, thousand);
      right[to_right + 576u + j] = eight_weights(now.w1[j], now.g1, thousand);
    }
    workgroupBarrier();
    if (k + 1u < end) { next = load_tile(row0, n, tid, k + 1u, further); }
    for (var s = 0u; s < 4u; s++) {
      let l = a0 * 9u + 2u * s;
      let r = b0 * 9u + 2u * s;
      let p0 = subgroupMatrixLoad<Left, row_major>(&left, l + 0u, 9u);
      let p1 = subgroupMatrixLoad<Left, row_major>(&left, l + 144u, 9u);
      let p2 = subgroupMatrixLoad<Left, row_major>(&left, l + 288u, 9u);
      let p3 = subgroupMatrixLoad<Left, row_major>(&left, l + 432u, 9u);
      let q0 = subgroupMatrixLoad<Right, col_major>(&right, r + 0u, 9u);
      c00 = subgroupMatrixMultiplyAccumulate(p0, q0, c00);
      c10 = subgroupMatrixMultiplyAccumulate(p1, q0, c10);
      c20 = subgroupMatrixMultiplyAccumulate(p2, q0, c20);
      c30 = subgroupMatrixMultiplyAccumulate(p3, q0, c30);
      let q1 = subgroupMatrixLoad<Right, col_major>(&right, r + 144u, 9u);
      c01 = subgroupMatrixMultiplyAccumulate(p0, q1, c01);
      c11 = subgroupMatrixMultiplyAccumulate(p1, q1, c11);
      c21 = subgroupMatrixMultiplyAccumulate(p2, q1, c21);
      c31 = subgroupMatrixMultiplyAccumulate(p3, q1, c31);
      let q2 = subgroupMatrixLoad<Right, col_major>(&right, r + 288u, 9u);
      c02 = subgroupMatrixMultiplyAccumulate(p0, q2, c02);
      c12 = subgroupMatrixMultiplyAccumulate(p1, q2, c12);
      c22 = subgroupMatrixMultiplyAccumulate(p2, q2, c22);
      c32 = subgroupMatrixMultiplyAccumulate(p3, q2, c32);
      let q3 = subgroupMatrixLoad<Right, col_major>(&right, r + 432u, 9u);
      c03 = subgroupMatrixMultiplyAccumulate(p0, q3, c03);
      c13 = subgroupMatrixMultiplyAccumulate(p1, q3, c13);
      c23 = subgroupMatrixMultiplyAccumulate(p2, q3, c23);
      c33 = subgroupMatrixMultiplyAccumulate(p3, q3, c33);
    }
  }
  if (inside) {
    subgroupMatrixStore<row_major>(&y, at + 0u * N + 0u, c00, N); subgroupMatrixStore<row_major>(&y, at + 0u * N + 16u, c01, N);
    subgroupMatrixStore<row_major>(&y, at + 0u * N + 32u, c02, N); subgroupMatrixStore<row_major>(&y, at + 0u * N + 48u, c03, N);
    subgroupMatrixStore<row_major>(&y, at + 16u * N + 0u, c10, N); subgroupMatrixStore<row_major>(&y, at + 16u * N + 16u, c11, N);
    subgroupMatrixStore<row_major>(&y, at + 16u * N + 32u, c12, N); subgroupMatrixStore<row_major>(&y, at + 16u * N + 48u, c13, N);
    subgroupMatrixStore<row_major>(&y, at + 32u * N + 0u, c20, N); subgroupMatrixStore<row_major>(&y, at + 32u * N + 16u, c21, N);
    subgroupMatrixStore<row_major>(&y, at + 32u * N + 32u, c22, N); subgroupMatrixStore<row_major>(&y, at + 32u * N + 48u, c23, N);
    subgroupMatrixStore<row_major>(&y, at + 48u * N + 0u, c30, N); subgroupMatrixStore<row_major>(&y, at + 48u * N + 16u, c31, N);
    subgroupMatrixStore<row_major>(&y, at + 48u * N + 32u, c32, N); subgroupMatrixStore<row_major>(&y, at + 48u * N + 48u, c33, N);
  }
}
`,
  workgroupBytes: 2 * 128 * 9 * 16,
  call: (shape) => ({
    overrides: { K: shape.K, N: shape.N, GROUP: shape.group, ...piecesOverrides(shape) },
    workgroups: (T) => [Math.ceil(T / 128) * Math.max(1, shape.pieces ?? 0), Math.ceil(shape.N / 128), 1],
  }),
  sizes(shape, T) {
    const { K, N, group } = shape;
    const rows = 128 * Math.ceil(T / 128);
    return { x: 2 * rows * K, ...packedSizes(K, N, group), y: 4 * Math.max(rows, piecesRows(shape)) * N };
  },
});

/**
 * out[t, n] = Σ_k x[t, k] · ((q[n, k] − z[n, g]) · s[n, g]) + bias[n], as awq-matmul-tiled.ts, on repacked weights
 * (awq-repack.ts): weights [rows/4, K/32, 4] of vec4<u32>, groups [rows/4, K/groupSize, 4] of scale | zero << 16, from
 * row `firstRow` on. Any T. A workgroup of 16 × 4 makes a tile of 32 rows × 64 columns, 8 × 4 an invocation, over steps
 * of 32 k that lie in workgroup memory (x 4 KiB, W 8 KiB, dequantized there). Each sum runs over ascending k alone: the
 * same bits as awq-matmul-tiled.ts. Limited by workgroup-memory reads.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/**
 * Rows firstRow … firstRow + N − 1 of a repacked matrix. groupSize is a multiple of 32, or K; firstRow and N of 4.
 * Without `hasBias`, `bias` is bound and not read.
 */
export type PackedShape = Readonly<{ K: number; N: number; groupSize: number; firstRow: number; hasBias: boolean }>;

export const awqMatmulPacked: Card<"step" | "x" | "weights" | "groups" | "bias" | "out", PackedShape> = makeCard({
  name: "awq-matmul-packed",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { K: u32, N: u32, groupSize: u32, firstRow: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
override HAS_BIAS: bool = false;

const ROWS = 32u;
const QUADS = 16u; // 64 columns
const DEPTH = 32u;
const LANES = 64u;
var<workgroup> xTile: array<array<vec4<f32>, ROWS / 4u>, DEPTH>;
var<workgroup> wTile: array<array<vec4<f32>, QUADS>, DEPTH>;

fn at(t: u32, k: u32) -> f32 {
  if (t < step.T && k < params.K) { return x[t * params.K + k]; }
  return 0.0;
}

@compute @workgroup_size(16, 4)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let firstRow = workgroup.y * ROWS;
  // This invocation unpacks word \`part\` (eight k) of the four rows of a quad.
  let quad = workgroup.x * QUADS + lane / 4u;
  let part = lane % 4u;
  let row = params.firstRow + quad * 4u;
  let blocks = (params.K + 31u) / 32u;
  var sums: array<vec4<f32>, 8>;
  for (var b = 0u; b < blocks; b++) {
    for (var i = lane; i < ROWS / 4u * DEPTH; i += LANES) {
      let inner = b * DEPTH + i % DEPTH;
      let t = firstRow + i / DEPTH * 4u;
      xTile[i % DEPTH][i / DEPTH] = vec4(at(t, inner), at(t + 1u, inner), at(t + 2u, inner), at(t + 3u, inner));
    }
    var words = vec4(0u);
    var group = vec4(0u);
    if (quad * 4u < params.N) {
      let word = (row * blocks + 4u * b) * 4u + part;
      words = vec4(weights[word], weights[word + 4u], weights[word + 8u], weights[word + 12u]);
      group = groups[row / 4u * (params.K / params.groupSize) + b * 32u / params.groupSize];
    }
    let zeros = vec4<i32>(group >> vec4(16u));
    let scales = vec4(unpack2x16float(group.x).x, unpack2x16float(group.y).x, unpack2x16float(group.z).x, unpack2x16float(group.w).x);
    for (var i = 0u; i < 8u; i++) {
      let shift = 8u * (i % 4u) + 4u * (i / 4u);
      wTile[part * 8u + i][lane / 4u] = vec4<f32>(vec4<i32>((words >> vec4(shift)) & vec4(15u)) - zeros) * scales;
    }
    workgroupBarrier();
    for (var inner = 0u; inner < DEPTH; inner++) {
      let w = wTile[inner][local.x];
      let a = xTile[inner][local.y * 2u];
      let c = xTile[inner][local.y * 2u + 1u];
      sums[0] += a.x * w;
      sums[1] += a.y * w;
      sums[2] += a.z * w;
      sums[3] += a.w * w;
      sums[4] += c.x * w;
      sums[5] += c.y * w;
      sums[6] += c.z * w;
      sums[7] += c.w * w;
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 8u; r++) {
    let t = firstRow + local.y * 8u + r;
    for (var j = 0u; j < 4u; j++) {
      let n = (workgroup.x * QUADS + local.x) * 4u + j;
      if (t >= step.T || n >= params.N) { continue; }
      var y = sums[r][j];
      if (HAS_BIAS) { y += bias[n]; }
      out[t * params.N + n] = y;
    }
  }
}
`,
  workgroupBytes: 4 * 32 * (32 + 64),
  call: ({ K, N, groupSize, firstRow, hasBias }) => ({
    params: { K, N, groupSize, firstRow },
    overrides: { HAS_BIAS: hasBias },
    workgroups: (T) => [Math.ceil(N / 64), Math.ceil(T / 32), 1],
  }),
  sizes: ({ K, N, groupSize, firstRow, hasBias }, T) => ({
    x: 4 * T * K,
    ...packedSizes(K, firstRow + N, groupSize),
    bias: hasBias ? 4 * N : 0,
    out: 4 * T * N,
  }),
});

/**
 * out[t, n] = Σ_k x[t, k] · ((q[k, n] − z[g, n]) · s[g, n]) + bias[n], as awq-matmul.ts, for many rows.
 * A workgroup of 16 × 4 makes a tile of 32 rows × 64 columns, 8 × 4 an invocation, over steps of 32 k that lie in
 * workgroup memory (x 4 KiB, W 8 KiB, dequantized there). Each sum runs over ascending k alone: the same bits for every
 * T. Limited by workgroup-memory reads.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { awqWgsl } from "../../wgsl/awq.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type AwqMatmulShape, awqSizes } from "./awq-matmul.ts";

export const awqMatmulTiled: Card<"step" | "x" | "qweight" | "qzeros" | "scales" | "bias" | "out", AwqMatmulShape> = makeCard({
  name: "awq-matmul-tiled",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { K: u32, words: u32, groupSize: u32, firstColumn: u32, columns: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> qweight: array<u32>;
@group(0) @binding(3) var<storage, read> qzeros: array<u32>;
@group(0) @binding(4) var<storage, read> scales: array<u32>; // two f16 a word
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
override HAS_BIAS: bool = false;
${awqWgsl}

const ROWS = 32u;
const WORDS = 8u; // 64 columns
const DEPTH = 32u;
const LANES = 64u;
var<workgroup> xTile: array<array<vec4<f32>, ROWS / 4u>, DEPTH>;
var<workgroup> wTile: array<array<vec4<f32>, WORDS * 2u>, DEPTH>;

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
  let firstWord = workgroup.x * WORDS;
  var sums: array<vec4<f32>, 8>;
  for (var k = 0u; k < params.K; k += DEPTH) {
    for (var i = lane; i < ROWS / 4u * DEPTH; i += LANES) {
      let inner = k + i % DEPTH;
      let t = firstRow + i / DEPTH * 4u;
      xTile[i % DEPTH][i / DEPTH] = vec4(at(t, inner), at(t + 1u, inner), at(t + 2u, inner), at(t + 3u, inner));
    }
    for (var i = lane; i < WORDS * DEPTH; i += LANES) {
      let c = firstWord + i % WORDS;
      let inner = k + i / WORDS;
      var first = vec4(0.0);
      var second = vec4(0.0);
      if (c < params.words && inner < params.K) {
        let group = inner / params.groupSize * params.words + c;
        let word = qweight[inner * params.words + c];
        let zeros = qzeros[group];
        let s = group * 4u;
        first = vec4<f32>(low(word) - low(zeros)) * vec4(unpack2x16float(scales[s]), unpack2x16float(scales[s + 1u]));
        second = vec4<f32>(high(word) - high(zeros)) * vec4(unpack2x16float(scales[s + 2u]), unpack2x16float(scales[s + 3u]));
      }
      wTile[i / WORDS][i % WORDS * 2u] = first;
      wTile[i / WORDS][i % WORDS * 2u + 1u] = second;
    }
    workgroupBarrier();
    for (var inner = 0u; inner < DEPTH; inner++) {
      let w = wTile[inner][local.x];
      let a = xTile[inner][local.y * 2u];
      let b = xTile[inner][local.y * 2u + 1u];
      sums[0] += a.x * w;
      sums[1] += a.y * w;
      sums[2] += a.z * w;
      sums[3] += a.w * w;
      sums[4] += b.x * w;
      sums[5] += b.y * w;
      sums[6] += b.z * w;
      sums[7] += b.w * w;
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 8u; r++) {
    let t = firstRow + local.y * 8u + r;
    for (var j = 0u; j < 4u; j++) {
      let n = firstWord * 8u + local.x * 4u + j;
      if (t >= step.T || n >= params.words * 8u) { continue; }
      let column = params.firstColumn + n;
      var y = sums[r][j];
      if (HAS_BIAS) { y += bias[column]; }
      out[t * params.columns + column] = y;
    }
  }
}
`,
  workgroupBytes: 4 * 32 * (32 + 64),
  call: ({ K, N, groupSize, firstColumn, columns, hasBias }) => ({
    params: { K, words: N / 8, groupSize, firstColumn, columns },
    overrides: { HAS_BIAS: hasBias },
    workgroups: (T) => [Math.ceil(N / 64), Math.ceil(T / 32), 1],
  }),
  sizes: awqSizes,
});

/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n], as matmul.ts, for many rows.
 * A workgroup of 16 × 4 makes a tile of 32 rows × 64 columns, 8 × 4 an invocation, over steps of 32 k that lie in
 * workgroup memory (x 4 KiB, W 8 KiB, both k-major, W widened). Each sum runs over ascending k alone: the same bits for
 * every T. Limited by workgroup-memory reads.
 */
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { denseWgsl, dtypeCode, rowWords } from "../../wgsl/dense.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { denseSizes, type MatmulShape } from "./matmul.ts";

export const matmulTiled: Card<"step" | "x" | "weight" | "bias" | "out", MatmulShape> = makeCard({
  name: "matmul-tiled",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { K: u32, rowWords: u32, N: u32, firstColumn: u32, columns: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
override HAS_BIAS: bool = false;
${denseWgsl}

const ROWS = 32u;
const COLUMNS = 64u;
const DEPTH = 32u;
const LANES = 64u;
var<workgroup> xTile: array<array<vec4<f32>, ROWS / 4u>, DEPTH>;
var<workgroup> wTile: array<array<f32, COLUMNS>, DEPTH>;

fn at(t: u32, k: u32) -> f32 {
  if (t < step.T && k < params.K) { return x[t * params.K + k]; }
  return 0.0;
}

@compute @workgroup_size(16, 4)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let firstRow = workgroup.y * ROWS;
  let perStep = DEPTH / PER_WORD;
  for (var firstN = workgroup.x * COLUMNS; firstN < params.N; firstN += workgroups.x * COLUMNS) {
    var sums = array<vec4<f32>, 8>();
    for (var k = 0u; k < params.K; k += DEPTH) {
      for (var i = lane; i < ROWS / 4u * DEPTH; i += LANES) {
        let inner = k + i % DEPTH;
        let t = firstRow + i / DEPTH * 4u;
        xTile[i % DEPTH][i / DEPTH] = vec4(at(t, inner), at(t + 1u, inner), at(t + 2u, inner), at(t + 3u, inner));
      }
      for (var i = lane; i < COLUMNS * perStep; i += LANES) {
        let n = firstN + i / perStep;
        let w = k / PER_WORD + i % perStep;
        var values = vec2(0.0);
        if (n < params.N && w < params.rowWords) { values = widen(weight[n * params.rowWords + w]); }
        let inner = (i % perStep) * PER_WORD;
        wTile[inner][i / perStep] = values.x;
        if (PER_WORD == 2u) { wTile[inner + 1u][i / perStep] = values.y; }
      }
      workgroupBarrier();
      for (var inner = 0u; inner < DEPTH; inner++) {
        let column = local.x * 4u;
        let w = vec4(wTile[inner][column], wTile[inner][column + 1u], wTile[inner][column + 2u], wTile[inner][column + 3u]);
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
        let n = firstN + local.x * 4u + j;
        if (t >= step.T || n >= params.N) { continue; }
        let column = params.firstColumn + n;
        var y = sums[r][j];
        if (HAS_BIAS) { y += bias[column]; }
        out[t * params.columns + column] = y;
      }
    }
  }
}
`,
  workgroupBytes: 4 * 32 * (32 + 64),
  call: ({ dtype, K, N, firstColumn, columns, hasBias }) => ({
    params: { K, rowWords: rowWords(dtype, K), N, firstColumn, columns },
    overrides: { DTYPE: dtypeCode[dtype], HAS_BIAS: hasBias },
    workgroups: (T) => [workgroupsFor(N, 64), Math.ceil(T / 32), 1],
  }),
  sizes: denseSizes,
});

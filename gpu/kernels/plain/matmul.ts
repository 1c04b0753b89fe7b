/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n]; x [T, K] f32, W [N, K] in words of its own dtype, out [T, N] f32. Twin
 * of core/ops/matmul.ts for few rows; matmul-tiled.ts for many. A workgroup of 4 × 64 takes four output columns n of
 * one row t: 64 invocations read a row of W side by side, a tree in workgroup memory (1 KiB) joins their sums. Columns
 * beyond 4 · 65535 are reached by the loop. A W larger than a binding lies in several buffers of `N` columns each,
 * `firstColumn` says where they go. Limited by the bytes of W.
 */
import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { denseWgsl, dtypeCode, rowWords } from "../../wgsl/dense.ts";

/**
 * A dense weight's piece: columns firstColumn … firstColumn + N − 1 of `columns`; rows of W are padded to whole words.
 * Without `hasBias`, `bias` is bound and not read.
 */
export type MatmulShape = Readonly<{ dtype: FloatDType; K: number; N: number; firstColumn: number; columns: number; hasBias: boolean }>;

/** Sizes of a dense linear's buffers. */
export const denseSizes = ({ dtype, K, N, columns, hasBias }: MatmulShape, T: number): Record<"x" | "weight" | "bias" | "out", number> => ({
  x: 4 * T * K,
  weight: 4 * N * rowWords(dtype, K),
  bias: hasBias ? 4 * columns : 0,
  out: 4 * T * columns,
});

export const matmul: Card<"x" | "weight" | "bias" | "out", MatmulShape> = makeCard({
  name: "matmul",
  wgsl: /* wgsl */ `
struct Params { K: u32, rowWords: u32, N: u32, firstColumn: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
override HAS_BIAS: bool = false;
${denseWgsl}

const LANES = 64u;
var<workgroup> partial: array<array<f32, LANES>, 4>;

@compute @workgroup_size(LANES, 4)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let t = workgroup.y;
  let lane = local.x;
  for (var block = workgroup.x * 4u; block < params.N; block += workgroups.x * 4u) {
    let n = block + local.y;
    var sum = 0.0;
    if (n < params.N) {
      for (var w = lane; w < params.rowWords; w += LANES) {
        let values = widen(weight[n * params.rowWords + w]);
        let k = w * PER_WORD;
        sum += x[t * params.K + k] * values.x;
        if (PER_WORD == 2u && k + 1u < params.K) { sum += x[t * params.K + k + 1u] * values.y; }
      }
    }
    partial[local.y][lane] = sum;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
      workgroupBarrier();
      if (lane < width) { partial[local.y][lane] += partial[local.y][lane + width]; }
    }
    if (lane == 0u && n < params.N) {
      var y = partial[local.y][0];
      let column = params.firstColumn + n;
      if (HAS_BIAS) { y += bias[column]; }
      out[t * params.columns + column] = y;
    }
    workgroupBarrier();
  }
}
`,
  workgroupBytes: 4 * 4 * 64,
  call: ({ dtype, K, N, firstColumn, columns, hasBias }) => ({
    params: { K, rowWords: rowWords(dtype, K), N, firstColumn, columns },
    overrides: { DTYPE: dtypeCode[dtype], HAS_BIAS: hasBias },
    workgroups: (T) => [workgroupsFor(N, 4), T, 1],
  }),
  sizes: denseSizes,
});

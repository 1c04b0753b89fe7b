/**
 * out[t, n] = Σ_k x[t, k] · W[n, k] + bias[n]; x [T, K] f32, W [N, K] in words of its own dtype, out [T, N] f32. Twin of
 * core/ops/matmul.ts for few rows; matmul-tiled.ts for many.
 * A workgroup of 4 × 64 takes four output columns n of one row t: 64 invocations read a row of W side by side, a tree in
 * workgroup memory (1 KiB) joins their sums. Columns beyond 4 · 65535 are reached by the loop. A W larger than a binding lies in
 * several buffers of `N` columns each, `firstColumn` says where they go. Limited by the bytes of W.
 */
import type { FloatDType } from "../../../core/dtype.ts";
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record } from "../../pipeline/recorder.ts";
import { denseWgsl, dtypeCode, rowWords } from "../../wgsl/dense.ts";

export const matmul: Kernel<"x" | "weight" | "bias" | "out", "K" | "rowWords" | "N" | "firstColumn" | "columns"> = {
  name: "matmul",
  bindings: { x: "read", weight: "read", bias: "read", out: "readWrite" },
  params: { K: "u32", rowWords: "u32", N: "u32", firstColumn: "u32", columns: "u32" },
  overrides: { DTYPE: "u32", PER_WORD: "u32", HAS_BIAS: "bool" },
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
};

/** A dense weight's piece: columns firstColumn … firstColumn + N − 1 of `columns`. */
export interface MatmulShape {
  readonly dtype: FloatDType;
  readonly K: number;
  readonly N: number;
  readonly firstColumn: number;
  readonly columns: number;
  /** false: `bias` is any buffer and not read. */
  readonly hasBias: boolean;
}

/** x [T, K], bias [columns], out [T, columns] f32; weight [N, K], rows padded to whole words. */
export function recordMatmul(
  recorder: Recorder,
  buffers: { x: BufferArg; weight: BufferArg; bias: BufferArg; out: BufferArg },
  { dtype, K, N, firstColumn, columns, hasBias }: MatmulShape,
  label: string = matmul.name,
): void {
  record(recorder, {
    kernel: matmul,
    buffers,
    params: { K, rowWords: rowWords(dtype, K), N, firstColumn, columns },
    overrides: { DTYPE: dtypeCode[dtype], HAS_BIAS: hasBias },
    workgroups: (T) => [Math.min(Math.ceil(N / 4), 65535), T, 1],
    label,
  });
}

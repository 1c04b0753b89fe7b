/**
 * out[t, n] = Σ_k x[t, k] · ((q[k, n] − z[g, n]) · s[g, n]) + bias[n], as awq-matmul.ts, for many rows.
 * A workgroup of 16 × 16 makes a tile of 32 rows × 64 columns, 2 × 4 an invocation, over steps of 16 k that lie in workgroup
 * memory (x 2 KiB, W 4 KiB, dequantized there). Each sum runs over ascending k alone: the same bits for every T.
 * Limited by workgroup-memory reads.
 */
import type { Kernel } from "../kernel.ts";
import { type BufferArg, type Recorder, record } from "../recorder.ts";
import { awqWgsl } from "../wgsl/awq.ts";
import { stepWgsl } from "../wgsl/step.ts";
import type { AwqMatmulBuffers, AwqMatmulShape } from "./awq-matmul.ts";

export const awqMatmulTiled: Kernel<
  "step" | "x" | "qweight" | "qzeros" | "scales" | "bias" | "out",
  "K" | "words" | "groupSize" | "firstColumn" | "columns"
> = {
  name: "awq-matmul-tiled",
  bindings: { step: "uniform", x: "read", qweight: "read", qzeros: "read", scales: "read", bias: "read", out: "readWrite" },
  params: { K: "u32", words: "u32", groupSize: "u32", firstColumn: "u32", columns: "u32" },
  overrides: { HAS_BIAS: "bool" },
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
const DEPTH = 16u;
var<workgroup> xTile: array<array<f32, ROWS>, DEPTH>;
var<workgroup> wTile: array<array<vec4<f32>, WORDS * 2u>, DEPTH>;

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let firstRow = workgroup.y * ROWS;
  let firstWord = workgroup.x * WORDS;
  var sums: array<vec4<f32>, 2>;
  for (var k = 0u; k < params.K; k += DEPTH) {
    for (var i = lane; i < ROWS * DEPTH; i += 256u) {
      let t = firstRow + i / DEPTH;
      let inner = k + i % DEPTH;
      var value = 0.0;
      if (t < step.T && inner < params.K) { value = x[t * params.K + inner]; }
      xTile[i % DEPTH][i / DEPTH] = value;
    }
    if (lane < WORDS * DEPTH) {
      let c = firstWord + lane % WORDS;
      let inner = k + lane / WORDS;
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
      wTile[lane / WORDS][lane % WORDS * 2u] = first;
      wTile[lane / WORDS][lane % WORDS * 2u + 1u] = second;
    }
    workgroupBarrier();
    for (var inner = 0u; inner < DEPTH; inner++) {
      let w = wTile[inner][local.x];
      sums[0] += xTile[inner][local.y] * w;
      sums[1] += xTile[inner][local.y + 16u] * w;
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 2u; r++) {
    let t = firstRow + local.y + r * 16u;
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
};

/** x [T, K], bias [columns], out [T, columns] f32. */
export function recordAwqMatmulTiled(
  recorder: Recorder,
  buffers: AwqMatmulBuffers & { readonly step: BufferArg },
  { K, N, groupSize, firstColumn, columns, hasBias }: AwqMatmulShape,
  label: string = awqMatmulTiled.name,
): void {
  record(recorder, {
    kernel: awqMatmulTiled,
    buffers,
    params: { K, words: N / 8, groupSize, firstColumn, columns },
    overrides: { HAS_BIAS: hasBias },
    workgroups: (T) => [Math.ceil(N / 64), Math.ceil(T / 32), 1],
    label,
  });
}

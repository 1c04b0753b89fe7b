/**
 * out[t, n] = Σ_g s[g, n] · Σ_{k in g} x[t, k] · (q[k, n] − z[g, n]) + bias[n]; x [T, K] f32, weights in the
 * checkpoint's own AWQ GEMM layout (qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16), out [T, N] f32. Twin of
 * core/ops/awq-matmul.ts for few rows; awq-matmul-tiled.ts for many. A workgroup of 32 × 8 takes 32 word columns (256
 * outputs) of one row t; each of its 8 slices every 8th k of each group. Slices are joined in workgroup memory (8 KiB).
 * Limited by latency where N is small: only N/256 workgroups share the work.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { awqWgsl, gemmSizes } from "../../wgsl/awq.ts";

/** An AWQ weight's piece: columns firstColumn … firstColumn + N − 1 of `columns`. Without `hasBias` no bias is read. */
export type AwqMatmulShape = Readonly<{ K: number; N: number; groupSize: number; firstColumn: number; columns: number; hasBias: boolean }>;

/** Sizes of an AWQ linear's buffers. */
export const awqSizes = (
  { K, N, groupSize, columns, hasBias }: AwqMatmulShape,
  T: number,
): Record<"x" | "qweight" | "qzeros" | "scales" | "bias" | "out", number> => ({
  x: 4 * T * K,
  ...gemmSizes(K, N, groupSize),
  bias: hasBias ? 4 * columns : 0,
  out: 4 * T * columns,
});

export const awqMatmul: Card<"x" | "qweight" | "qzeros" | "scales" | "bias" | "out", AwqMatmulShape> = makeCard({
  name: "awq-matmul",
  wgsl: /* wgsl */ `
struct Params { K: u32, words: u32, groupSize: u32, firstColumn: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> qweight: array<u32>;
@group(0) @binding(2) var<storage, read> qzeros: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>; // two f16 a word
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
override HAS_BIAS: bool = false;
${awqWgsl}

const WORDS = 32u;
const SLICES = 8u;
var<workgroup> partial: array<array<f32, WORDS * 8u>, SLICES>;

@compute @workgroup_size(WORDS, SLICES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = workgroup.y;
  let c = workgroup.x * WORDS + local.x;
  var sumLow = vec4(0.0);
  var sumHigh = vec4(0.0);
  if (c < params.words) {
    for (var g = 0u; g * params.groupSize < params.K; g++) {
      let zeros = qzeros[g * params.words + c];
      let zerosLow = low(zeros);
      let zerosHigh = high(zeros);
      var groupLow = vec4(0.0);
      var groupHigh = vec4(0.0);
      let end = (g + 1u) * params.groupSize;
      for (var k = g * params.groupSize + local.y; k < end; k += SLICES) {
        let word = qweight[k * params.words + c];
        let value = x[t * params.K + k];
        groupLow += value * vec4<f32>(low(word) - zerosLow);
        groupHigh += value * vec4<f32>(high(word) - zerosHigh);
      }
      let s = (g * params.words + c) * 4u;
      sumLow += groupLow * vec4(unpack2x16float(scales[s]), unpack2x16float(scales[s + 1u]));
      sumHigh += groupHigh * vec4(unpack2x16float(scales[s + 2u]), unpack2x16float(scales[s + 3u]));
    }
  }
  for (var j = 0u; j < 4u; j++) {
    partial[local.y][local.x * 8u + j] = sumLow[j];
    partial[local.y][local.x * 8u + 4u + j] = sumHigh[j];
  }
  workgroupBarrier();
  let n = workgroup.x * WORDS * 8u + lane;
  if (n >= params.words * 8u) { return; }
  var y = 0.0;
  for (var slice = 0u; slice < SLICES; slice++) { y += partial[slice][lane]; }
  let column = params.firstColumn + n;
  if (HAS_BIAS) { y += bias[column]; }
  out[t * params.columns + column] = y;
}
`,
  workgroupBytes: 4 * 8 * 256,
  call: ({ K, N, groupSize, firstColumn, columns, hasBias }) => ({
    params: { K, words: N / 8, groupSize, firstColumn, columns },
    overrides: { HAS_BIAS: hasBias },
    workgroups: (T) => [Math.ceil(N / 256), T, 1],
  }),
  sizes: awqSizes,
});

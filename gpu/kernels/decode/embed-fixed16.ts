/**
 * residual = embedding[ids[0]] (rows FIRST … FIRST + ROWS − 1 of [V, K], f16, bf16 or f32; another id is left to another
 * piece), in planes as norm is (wgsl/fixed16.ts); and scaled = residual ∘ norm, its digits and Σ residual² a block, as
 * awq-add-fixed16.ts leaves them. Steps covered: embeddings, the first input_layernorm but for 1/rms. K % 4 = 0. Eight
 * threads per block of 32, 32 blocks per workgroup; workgroup memory 3 KiB. Limited by latency.
 */

import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { denseWgsl, dtypeCode, rowWords } from "../../wgsl/dense.ts";
import { blockBytes, digitBytes, fixed16Quantize, planeBytes } from "../../wgsl/fixed16.ts";

export const embedFixed16: Card<
  "embedding" | "ids" | "norm" | "residual" | "scaled" | "out_digits" | "out_blocks",
  { readonly dtype: FloatDType; readonly K: number; readonly firstRow: number; readonly rows: number }
> = makeCard({
  name: "embed-fixed16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override FIRST: u32 = 0u;
override ROWS: u32 = 32000u;
override BLOCKS: u32 = (K + 31u) / 32u;

@group(0) @binding(0) var<storage, read> embedding: array<u32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out_digits: array<u32>;
@group(0) @binding(6) var<storage, read_write> out_blocks: array<vec4<u32>>;
var<workgroup> largest: array<u32, 256>;
var<workgroup> sums: array<i32, 256>;
var<workgroup> squares: array<f32, 256>;
${fixed16Quantize}${denseWgsl}
fn element(word: u32) -> vec4<f32> {
  if (DTYPE == 0u) {
    return bitcast<vec4<f32>>(vec4<u32>(embedding[word], embedding[word + 1u], embedding[word + 2u], embedding[word + 3u]));
  }
  return vec4<f32>(widen(embedding[word]), widen(embedding[word + 1u]));
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let id = ids[0];
  if (id < FIRST || id >= FIRST + ROWS) { return; }
  let i = min(wg.x * 256u + tid, 8u * BLOCKS - 1u);
  let alive = wg.x * 256u + tid < 8u * BLOCKS;
  let plane = (i & 7u) * BLOCKS + (i >> 3u);
  var x = vec4<f32>(0.0);
  if (i < K / 4u) { x = element(((id - FIRST) * (K / 4u) + i) * (4u / PER_WORD)); }
  let z = x * norm[plane];
  largest[tid] = abs_bits(z);
  workgroupBarrier();
  let first = tid & 0xf8u;
  var big = 0u;
  for (var j = 0u; j < 8u; j++) { big = max(big, largest[first + j]); }
  let v = quantize(z, big);
  sums[tid] = (v.x + v.y) + (v.z + v.w);
  squares[tid] = dot(x, x);
  if (alive) {
    residual[plane] = x;
    scaled[plane] = z;
    let at = 4u * (((i & 7u) >> 2u) * BLOCKS + i / 8u) + (i & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + 8u * BLOCKS] = pack_bytes(v);
  }
  workgroupBarrier();
  if (alive && tid == first) {
    var sum = 0;
    var square = 0.0;
    for (var j = 0u; j < 8u; j++) { sum += sums[tid + j]; square += squares[tid + j]; }
    out_blocks[i / 8u] = vec4<u32>(block_scale(big), bitcast<u32>(sum), bitcast<u32>(square), 0u);
  }
}
`,
  workgroupBytes: 3 * 4 * 256,
  call: ({ dtype, K, firstRow, rows }) => ({
    overrides: { DTYPE: dtypeCode[dtype], K, FIRST: firstRow, ROWS: rows },
    workgroups: () => [Math.ceil(K / 1024), 1, 1],
  }),
  sizes: ({ dtype, K, rows }) => ({
    embedding: 4 * rows * rowWords(dtype, K),
    ids: 4,
    norm: planeBytes(K),
    residual: planeBytes(K),
    scaled: planeBytes(K),
    out_digits: digitBytes(K),
    out_blocks: blockBytes(K),
  }),
});

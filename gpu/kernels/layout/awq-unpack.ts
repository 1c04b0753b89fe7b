/**
 * The inverse of awq-repack.ts: from quads of rows back to the checkpoint's GEMM layout. Proves that repacking loses
 * nothing. One invocation per word of qweight; the one of a group's first k also writes the word of qzeros and four
 * words of scales.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type RepackShape, repackSizes } from "./awq-repack.ts";

export const awqUnpack: Card<"weights" | "groups" | "qweight" | "qzeros" | "scales", RepackShape> = makeCard({
  name: "awq-unpack",
  wgsl: /* wgsl */ `
struct Params { K: u32, N: u32, groupSize: u32, firstRow: u32, unit: u32 }
@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(0) @binding(1) var<storage, read> groups: array<u32>;
@group(0) @binding(2) var<storage, read_write> qweight: array<u32>;
@group(0) @binding(3) var<storage, read_write> qzeros: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<u32>; // two f16 a word
@group(0) @binding(5) var<uniform> params: Params;

fn groupOf(row: u32, g: u32) -> u32 { return groups[(row / 4u * (params.K / params.groupSize) + g) * 4u + row % 4u]; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = workgroup.x * 64u + lane;
  let k = workgroup.y;
  let words = params.N / 8u;
  if (column >= words) { return; }
  let g = k / params.groupSize;
  let i = k % 8u;
  let b = k / 32u;
  let blocks = (params.K + 31u) / 32u;
  let slot = b % params.unit * (blocks / params.unit) + b / params.unit;
  var word = 0u;
  var zeros = 0u;
  for (var j = 0u; j < 8u; j++) {
    let row = params.firstRow + 8u * column + j;
    let nibble = 4u * ((0x73625140u >> (4u * j)) & 7u);
    let w = weights[((row / 4u * blocks + slot) * 4u + row % 4u) * 4u + k % 32u / 8u];
    word |= ((w >> (8u * (i % 4u) + 4u * (i / 4u))) & 15u) << nibble;
    zeros |= ((groupOf(row, g) >> 16u) & 15u) << nibble;
  }
  qweight[k * words + column] = word;
  if (k % params.groupSize == 0u) {
    qzeros[g * words + column] = zeros;
    for (var c = 0u; c < 4u; c++) {
      let row = params.firstRow + 8u * column + 2u * c;
      scales[g * params.N / 2u + 4u * column + c] = (groupOf(row, g) & 0xffffu) | (groupOf(row + 1u, g) << 16u);
    }
  }
}
`,
  call: ({ K, N, groupSize, firstRow, unit = 1 }) => ({
    params: { K, N, groupSize, firstRow, unit },
    workgroups: () => [Math.ceil(N / 512), K, 1],
  }),
  sizes: repackSizes,
});

/** The int4 linears by tiles (tile.ts), on repacked weights (awq-repack.ts). */
import type { PackedShape } from "../kernels/plain/awq-matmul-packed.ts";
import { type Card, makeCard } from "../pipeline/kernel.ts";
import { packedSizes } from "./awq.ts";
import { type InPieces, type Tile, tileCard, tileWgsl } from "./tile.ts";

/**
 * A word holds eight k of a row: four in the low nibbles of its bytes, four in the high ones. A nibble in the mantissa of
 * 2^23 is 2^23 + q; less 2^23 + z it is q − z, exact, without a conversion; then the scale, one rounding.
 */
const weights = {
  bindings: `@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> groups: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
override GROUP: u32 = 128u; // weights of a scale: a constant, since a step divides by it`,
  params: ", firstRow: u32",
  wgsl: `struct Weights { word: u32, group: u32 }
fn load_weights(n: u32, part: u32, k: u32) -> Weights {
  let row = params.firstRow + n;
  let word = ((row / 4u * (params.K / 32u) + k / 2u) * 4u + row % 4u) * 4u + 2u * (k % 2u) + part;
  let group = (row / 4u * (params.K / GROUP) + 16u * k / GROUP) * 4u + row % 4u;
  return Weights(weights[word], groups[group]);
}
fn four(nibbles: vec4<u32>, group: u32) -> vec4<f32> {
  let q = bitcast<vec4<f32>>((nibbles & vec4<u32>(15u)) | vec4<u32>(0x4b000000u));
  return (q - vec4<f32>(8388608.0 + f32(group >> 16u))) * unpack2x16float(group).x;
}
fn first(w: Weights) -> vec4<f32> { return four(vec4<u32>(w.word) >> vec4<u32>(0u, 8u, 16u, 24u), w.group); }
fn second(w: Weights) -> vec4<f32> { return four(vec4<u32>(w.word) >> vec4<u32>(4u, 12u, 20u, 28u), w.group); }`,
};

export function awqTile(name: string, tile: Tile): Card<"step" | "x" | "weights" | "groups" | "bias" | "out", InPieces<PackedShape>> {
  const { workgroupBytes, workgroups } = tileCard(tile);
  return makeCard({
    name,
    wgsl: tileWgsl(tile, weights),
    workgroupBytes,
    call: ({ K, N, groupSize, firstRow, hasBias, pieces }) => ({
      params: { K, N, columns: N, firstColumn: 0, pieces, hasBias: hasBias ? 1 : 0, firstRow },
      overrides: { GROUP: groupSize },
      workgroups: workgroups(N, pieces),
    }),
    sizes: ({ K, N, groupSize, firstRow, hasBias, pieces }, T) => ({
      x: 4 * T * K,
      ...packedSizes(K, firstRow + N, groupSize),
      bias: hasBias ? 4 * N : 0,
      out: 4 * pieces * T * N,
    }),
  });
}

/** The dense linears by tiles (tile.ts): rows of W in the checkpoint's dtype (dense.ts), K a multiple of 16. */
import { denseSizes, type MatmulShape } from "../kernels/plain/matmul.ts";
import { type Card, makeCard } from "../pipeline/kernel.ts";
import { denseWgsl, dtypeCode } from "./dense.ts";
import { type InPieces, type Tile, tileCard, tileWgsl } from "./tile.ts";

const weights = {
  bindings: `@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
${denseWgsl}`,
  params: "",
  wgsl: `struct Weights { low: vec4<u32>, high: vec4<u32> }
fn load_weights(n: u32, part: u32, k: u32) -> Weights {
  let eight = n * (params.K / 8u) + 2u * k + part;
  if (DTYPE == 0u) { return Weights(weight[2u * eight], weight[2u * eight + 1u]); }
  return Weights(weight[eight], vec4<u32>(0u));
}
fn first(w: Weights) -> vec4<f32> {
  if (DTYPE == 0u) { return bitcast<vec4<f32>>(w.low); }
  return vec4<f32>(widen(w.low.x), widen(w.low.y));
}
fn second(w: Weights) -> vec4<f32> {
  if (DTYPE == 0u) { return bitcast<vec4<f32>>(w.high); }
  return vec4<f32>(widen(w.low.z), widen(w.low.w));
}`,
};

export function matmulTile(name: string, tile: Tile): Card<"step" | "x" | "weight" | "bias" | "out", InPieces<MatmulShape>> {
  const { workgroupBytes, workgroups } = tileCard(tile);
  return makeCard({
    name,
    wgsl: tileWgsl(tile, weights),
    workgroupBytes,
    call: ({ dtype, K, N, firstColumn, columns, hasBias, pieces }) => ({
      params: { K, N, columns, firstColumn, pieces, hasBias: hasBias ? 1 : 0 },
      overrides: { DTYPE: dtypeCode[dtype] },
      workgroups: workgroups(N, pieces),
    }),
    sizes: (shape, T) => ({ ...denseSizes(shape, T), out: 4 * shape.pieces * T * shape.columns }),
  });
}

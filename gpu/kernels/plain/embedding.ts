/**
 * out[t, :] = table[ids[t], :]; table [V, D] in words of its own dtype, out [T, D] f32. Twin of core/ops/embedding.ts.
 * One workgroup of 256 per token. A table larger than a binding lies in several buffers: each dispatch writes the
 * tokens whose row is among its `rows` from `firstRow` on. Limited by latency.
 */
import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { denseWgsl, dtypeCode, rowWords } from "../../wgsl/dense.ts";

/** The table's rows firstRow … firstRow + rows − 1. */
export type EmbeddingShape = Readonly<{ dtype: FloatDType; D: number; firstRow: number; rows: number }>;

export const embedding: Card<"ids" | "table" | "out", EmbeddingShape> = makeCard({
  name: "embedding",
  wgsl: /* wgsl */ `
struct Params { D: u32, rowWords: u32, firstRow: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
${denseWgsl}

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let id = ids[workgroup.x];
  if (id < params.firstRow || id - params.firstRow >= params.rows) { return; }
  let row = (id - params.firstRow) * params.rowWords;
  let first = workgroup.x * params.D;
  for (var w = lane; w < params.rowWords; w += WORKGROUP) {
    let values = widen(table[row + w]);
    let d = w * PER_WORD;
    out[first + d] = values.x;
    if (PER_WORD == 2u && d + 1u < params.D) { out[first + d + 1u] = values.y; }
  }
}
`,
  call: ({ dtype, D, firstRow, rows }) => ({
    params: { D, rowWords: rowWords(dtype, D), firstRow, rows },
    overrides: { DTYPE: dtypeCode[dtype] },
    workgroups: (T) => [T, 1, 1],
  }),
  sizes: ({ dtype, D, rows }, T) => ({ ids: 4 * T, table: 4 * rows * rowWords(dtype, D), out: 4 * T * D }),
});

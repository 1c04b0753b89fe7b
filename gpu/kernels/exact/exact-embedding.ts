/**
 * out[t, :] = row ids[t] of the table as values of `exact`: widened, with NaN, infinities and subnormals brought in (docs/exact.md).
 * table [rows, D] as stored, rows padded to whole words; out [T, D] words. Rows outside this piece are left alone.
 * An invocation per element; limited by latency.
 */

import type { FloatDType } from "../../../core/dtype.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { dtypeCode, rowWords } from "../../wgsl/dense.ts";
import { exactIntegers, exactNumbers, exactStored } from "../../wgsl/exact.ts";

/** Rows firstRow … of a table as stored. */
export type ExactEmbeddingShape = Readonly<{ dtype: FloatDType; D: number; firstRow: number; rows: number }>;

export const exactEmbedding: Card<"ids" | "table" | "out", ExactEmbeddingShape> = makeCard({
  name: "exact-embedding",
  wgsl: /* wgsl */ `
struct Params { D: u32, rowWords: u32, firstRow: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactStored}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let d = wg.x * 64u + lane;
  let row = ids[wg.y] - params.firstRow;
  if (d >= params.D || row >= params.rows) { return; }
  out[wg.y * params.D + d] = stored(table[row * params.rowWords + d / PER_WORD], d % PER_WORD == 1u);
}
`,
  call: ({ dtype, D, firstRow, rows }) => ({
    params: { D, rowWords: rowWords(dtype, D), firstRow, rows },
    overrides: { DTYPE: dtypeCode[dtype] },
    workgroups: (T) => [Math.ceil(D / 64), T, 1],
  }),
  sizes: ({ dtype, D, rows }, T) => ({ ids: 4 * T, table: 4 * rows * rowWords(dtype, D), out: 4 * T * D }),
});

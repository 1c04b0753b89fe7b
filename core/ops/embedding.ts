/**
 * Embedding lookup: out[t, :] = table[ids[t], :].
 * Source: Hugging Face `modeling_llama.py` (LlamaModel.embed_tokens).
 */
import { bf16Value, f16Values } from "../dtype.ts";
import type { DenseMatrix } from "../tensor.ts";
import { checkIds, checkLength } from "../tensor.ts";

/** Widens row `row` of a dense matrix to `out[offset ..]`; exact. */
export function widenRow(out: Float32Array | Float64Array, offset: number, matrix: DenseMatrix, row: number): void {
  const { inFeatures: K, data, dtype } = matrix;
  const start = row * K;
  if (dtype === "F16") {
    const table = f16Values();
    for (let k = 0; k < K; k++) out[offset + k] = table[data[start + k]!]!;
  } else if (dtype === "BF16") {
    for (let k = 0; k < K; k++) out[offset + k] = bf16Value(data[start + k]!);
  } else {
    for (let k = 0; k < K; k++) out[offset + k] = data[start + k]!;
  }
}

/**
 * out [T, D] f32 = rows of `table` [V, D]; exact.
 * @throws GureumError "range" for an id that is not an integer in [0, V), "shape" where out is shorter than T · D.
 */
export function embedding(out: Float32Array, table: DenseMatrix, ids: ArrayLike<number>): void {
  const { outFeatures: V, inFeatures: D } = table;
  checkLength("embedding", "out", out, ids.length * D);
  checkIds(ids, V);
  for (let t = 0; t < ids.length; t++) widenRow(out, t * D, table, ids[t]!);
}

/** Rows of an embedding as values of `exact`: every 16-bit word of either dtype, and binary32 that wants bringing in. */
import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import { clean } from "../../core/exact/numbers.ts";
import { widenRow } from "../../core/ops/embedding.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { uniform } from "../arbitraries.ts";
import { equalWords, wordsOf } from "../cases/exact.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly D: number;
  readonly V: number;
  readonly T: number;
  readonly dtype: FloatDType;
  readonly seed: number;
}
export interface ExactEmbeddingCase {
  readonly table: DenseMatrix;
  readonly ids: Uint32Array;
}

function rowsOf({ table, ids }: ExactEmbeddingCase): Float32Array {
  const D = table.inFeatures;
  const out = new Float32Array(ids.length * D);
  for (const [t, id] of ids.entries()) widenRow(out, t * D, table, id);
  return out.map(clean);
}

export const kit: Kit<Spec, ExactEmbeddingCase> = {
  name: "exact-embedding",
  formula: "value of table[ids[t], d]",
  spec: fc.record({
    D: fc.constantFrom(1, 2, 63, 64, 130),
    V: fc.integer({ min: 1, max: 9 }),
    T: fc.integer({ min: 1, max: 5 }),
    dtype: fc.constantFrom("F32", "F16", "BF16"),
    seed: fc.nat(0xffff),
  }),
  // All words of 16 bits, in order.
  boundaries: (["F16", "BF16"] as const).map((dtype) => ({ D: 4096, V: 16, T: 16, dtype, seed: -1 })),
  reach: [
    { D: 2, V: 152_064, T: 12, dtype: "F16", seed: 1 },
    { D: 4, V: 65_600, T: 12, dtype: "BF16", seed: 1 },
    { D: 130, V: 9, T: 600, dtype: "F32", seed: 1 },
    { D: 8192, V: 9, T: 9, dtype: "F32", seed: 1 },
  ],
  make({ D, V, T, dtype, seed }) {
    const next = uniform(seed);
    const all = seed < 0;
    const words = (bits: number, length: number): number[] => Array.from({ length }, (_, i) => (all ? i : Math.floor(next() * 2 ** bits)));
    const data = dtype === "F32" ? new Float32Array(Uint32Array.from(words(32, V * D)).buffer) : Uint16Array.from(words(16, V * D));
    const ids = Uint32Array.from({ length: T }, (_, t) => (all ? t : t === 0 ? V - 1 : Math.floor(next() * V)));
    return { table: { kind: "dense", dtype, outFeatures: V, inFeatures: D, data }, ids };
  },
  ...equalWords<ExactEmbeddingCase>(
    ({ table, ids }) => ids.length * table.inFeatures,
    (c) => wordsOf(rowsOf(c)),
  ),
};

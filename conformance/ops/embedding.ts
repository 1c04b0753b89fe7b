import * as fc from "fast-check";
import type { FloatDType } from "../../core/dtype.ts";
import { embedding } from "../../core/ops/embedding.ts";
import type { DenseMatrix } from "../../core/tensor.ts";
import { expectEmbedding } from "../accuracy.ts";
import { axis, plain, type Recipe, recipe, uniform } from "../arbitraries.ts";
import { denseMatrix, farRows, sparseMatrix } from "../cases/matrices.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly V: number;
  readonly D: number;
  readonly dtype: FloatDType;
  readonly data: Recipe;
  readonly seed: number;
  /** Only rows at places worth looking at are not zero; the ids are these. */
  readonly sparse?: boolean;
}
export interface EmbeddingCase {
  readonly table: DenseMatrix;
  readonly ids: readonly number[];
}

export const kit: Kit<Spec, EmbeddingCase> = {
  name: "embedding",
  formula: "out[t, :] = table[ids[t], :]",
  reference: { arithmetic: "f64", run: (c, out) => embedding(out, c.table, c.ids) },
  spec: fc.record({
    T: axis(20),
    V: axis(70),
    D: axis(280),
    dtype: fc.constantFrom<FloatDType>("F16", "BF16", "F32"),
    data: recipe(),
    seed: fc.nat(0xffff),
  }),
  boundaries: (["F16", "BF16", "F32"] as const).flatMap((dtype) =>
    [1, 2, 3, 62, 63, 64, 65, 66, 255, 256, 257, 511, 512, 513, 1026].map((D) => ({ T: 3, V: 5, D, dtype, data: plain, seed: 1 })),
  ),
  reach: [
    { T: 12, V: 256_000, D: 66, dtype: "F16", data: plain, seed: 1, sparse: true },
    { T: 12, V: 152_064, D: 8, dtype: "BF16", data: plain, seed: 1, sparse: true },
    { T: 12, V: 128_256, D: 4, dtype: "F32", data: plain, seed: 1, sparse: true },
    { T: 2, V: 5, D: 16_384, dtype: "F16", data: plain, seed: 1 },
    { T: 600, V: 70, D: 122, dtype: "F16", data: plain, seed: 1 },
  ],
  make({ T, V, D, dtype, data, seed, sparse = false }) {
    if (sparse) {
      const rows = farRows(V);
      return { table: sparseMatrix(data, dtype, V, D, rows), ids: Array.from({ length: T }, (_, t) => rows.at(-1 - (t % rows.length))!) };
    }
    const next = uniform(seed);
    const ids = Array.from({ length: T }, (_, t) => (t === 0 ? V - 1 : Math.floor(next() * V)));
    return { table: denseMatrix(data, dtype, V, D), ids };
  },
  length: (c) => c.ids.length * c.table.inFeatures,
  expected: (c, arithmetic) => expectEmbedding(c.table, c.ids, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "does not depend on the other ids, bit for bit",
      async check(c, { run }) {
        const D = c.table.inFeatures;
        const forward = await run(c);
        const backward = await run({ ...c, ids: c.ids.toReversed() });
        for (let t = 0; t < c.ids.length; t++) {
          const wrong = sameBits(forward, backward, t * D, (c.ids.length - 1 - t) * D, D);
          if (wrong) return wrong;
        }
        return null;
      },
    },
  ],
  refusals: [
    refuseShort("out", (c) => c, true),
    {
      name: "an id past the table",
      code: "range",
      spoil: (c, out) => ({ case: { ...c, ids: [...c.ids.slice(1), c.table.outFeatures] }, out }),
    },
    { name: "a negative id", code: "range", spoil: (c, out) => ({ case: { ...c, ids: [...c.ids.slice(1), -1] }, out }) },
    { name: "half an id", code: "range", spoil: (c, out) => ({ case: { ...c, ids: [...c.ids.slice(1), 0.5] }, out }) },
  ],
  dotLike: false,
};

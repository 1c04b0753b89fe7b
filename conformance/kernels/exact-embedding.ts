import { exactEmbedding } from "../../gpu/kernels/exact/exact-embedding.ts";
import type { ExactEmbeddingCase } from "../ops/exact-embedding.ts";
import { wordSubject } from "../subjects/exact.ts";
import { inTwo, paddedRows } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  [false, true].map((split) =>
    wordSubject<ExactEmbeddingCase>(
      rig,
      exactEmbedding,
      (io, { table, ids }) => {
        const { dtype, inFeatures: D, outFeatures } = table;
        const out = io.output("out", ids.length * D);
        for (const { from, to } of split ? inTwo(table) : [{ from: 0, to: outFeatures }])
          io.run(exactEmbedding, { dtype, D, firstRow: from, rows: to - from }, { ids, table: paddedRows(table, from, to), out });
      },
      ({ ids }) => ({ T: ids.length }),
      split ? { variant: "exact-embedding-in-two" } : {},
    ),
  );

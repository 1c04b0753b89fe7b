import { embedding } from "../../gpu/kernels/plain/embedding.ts";
import type { EmbeddingCase } from "../ops/embedding.ts";
import { inTwo, paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, intoOut, type Rig, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<EmbeddingCase>(embedding, ({ table, ids }, out) =>
    intoOut(rig, out, ids.length, 0, (io) => {
      const { dtype, inFeatures: D } = table;
      let buffers = {};
      for (const { from, to } of inTwo(table)) {
        const given = { ids: Uint32Array.from(ids), ...buffers, table: paddedRows(table, from, to) };
        buffers = io.run(embedding, { dtype, D, firstRow: from, rows: to - from }, given);
      }
    }),
  ),
];

import { denseHead } from "../../gpu/kernels/decode/dense-head.ts";
import type { HeadCase } from "../ops/dense-head.ts";
import { inTwo, normedRow, paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, intoOut, type Rig, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<HeadCase>(denseHead, (c, out) =>
    intoOut(rig, out, 1, 0, (io) => {
      const { scaled, blocks } = normedRow(c);
      let buffers = {};
      for (const { from, to } of inTwo(c.weight)) {
        const given = { scaled, blocks, ...buffers, weights: paddedRows(c.weight, from, to) };
        const shape = { K: c.scaled.length, dtype: c.weight.dtype, eps: c.eps, firstRow: from, rows: to - from };
        buffers = io.run(denseHead, shape, given);
      }
    }),
  ),
];

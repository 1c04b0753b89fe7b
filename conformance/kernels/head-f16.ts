import { headF16 } from "../../gpu/kernels/decode/head-f16.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import type { HeadCase } from "../ops/head-f16.ts";
import { digitsOf, inTwo, paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, intoOut, type Rig, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<HeadCase>(headF16, ({ scaled, squares, weight, eps }, out) =>
    intoOut(rig, out, 1, 0, (io) => {
      const { blocks } = digitsOf(scaled, squares);
      let buffers = {};
      for (const { from, to } of inTwo(weight)) {
        const given = { scaled: inPlanes(scaled), blocks, ...buffers, weights: paddedRows(weight, from, to) };
        buffers = io.run(headF16, { K: scaled.length, eps, firstRow: from, rows: to - from }, given);
      }
    }),
  ),
];

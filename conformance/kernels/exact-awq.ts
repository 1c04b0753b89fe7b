import { exactAwq } from "../../gpu/kernels/exact/exact-awq.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import { operand, wordSubject } from "../subjects/exact.ts";
import { packed } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactAwqCase>(
    rig,
    exactAwq,
    (io, { T, P, tile, x, weight, bias, initial }) => {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const unit = unitOf(groupSize);
      const given = {
        ...operand(io, x, K, P, T, unit),
        ...packed(io, [weight], FIRST_ROW, io.scratch, unit),
        ...(bias ? { bias } : {}),
        ...(initial ? { out: initial } : {}),
      };
      io.run(exactAwq, { K, N, P, tile, groupSize, unit, firstRow: FIRST_ROW, hasBias: bias !== null, adds: initial !== null }, given);
    },
    ({ T }) => ({ T }),
    {
      kernels: ["exact-awq", "awq-repack"],
      accepts: ({ weight: { inFeatures, groupSize } }) => inFeatures % 32 === 0 && groupSize % 32 === 0,
    },
  ),
];

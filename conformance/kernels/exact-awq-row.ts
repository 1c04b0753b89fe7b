/** One row by every layout of the teams; and gate and up with their product. */

import { exactAwqRow, tuneRow } from "../../gpu/kernels/exact/exact-awq-row.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import type { ExactGateUpCase } from "../ops/exact-gate-up.ts";
import { foundScales, operand, repacked, wordSubject } from "../subjects/exact.ts";
import { packed } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;
const kernels = ["exact-awq-row", "exact-scale-bases", "awq-repack"];

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  ...[{ quads: 1 }, { quads: 3, split: 2 }, { split: 4 }].map((layout, i) =>
    wordSubject<ExactAwqCase>(
      rig,
      exactAwqRow,
      (io, { P, x, weight, bias, initial }) => {
        const { inFeatures: K, outFeatures: N, groupSize } = weight;
        const unit = unitOf(groupSize);
        const matrix = packed(io, [weight], FIRST_ROW, io.scratch, unit);
        const { bases, spread } = foundScales(io, matrix, [weight], FIRST_ROW + N);
        const given = {
          ...operand(io, x, K, P, 1, unit),
          ...matrix,
          bases,
          ...(bias ? { bias } : {}),
          ...(initial ? { out: initial } : {}),
        };
        const tuned = { ...tuneRow(K, N, unit), ...layout };
        const shape = { K, N, P, groupSize, unit, firstRow: FIRST_ROW, hasBias: bias !== null, adds: initial !== null, paired: false };
        io.run(exactAwqRow, { ...shape, spread, ...tuned }, given);
      },
      () => ({ T: 1 }),
      {
        op: "exact-awq",
        variant: `exact-awq-row${["", "-split", "-quarters"][i]}`,
        kernels,
        accepts: ({ T, weight }) => T === 1 && repacked(weight),
      },
    ),
  ),
  wordSubject<ExactGateUpCase>(
    rig,
    exactAwqRow,
    (io, { x, gate, up, bias }) => {
      const { inFeatures: K, outFeatures: N, groupSize } = gate;
      const unit = unitOf(groupSize);
      const matrix = packed(io, [gate, up], FIRST_ROW, io.scratch, unit);
      const { bases, spread } = foundScales(io, matrix, [gate, up], FIRST_ROW + 2 * N);
      const given = {
        ...operand(io, x, K, 3, 1, unit),
        ...matrix,
        bases,
        ...(bias ? { bias } : {}),
      };
      const shape = { K, N, P: 3 as const, groupSize, unit, firstRow: FIRST_ROW, hasBias: bias !== null, adds: false, paired: true };
      io.run(exactAwqRow, { ...shape, spread, quads: 3, split: 2 }, given);
    },
    () => ({ T: 1 }),
    { op: "exact-gate-up", kernels, accepts: ({ gate }) => repacked(gate) },
  ),
];

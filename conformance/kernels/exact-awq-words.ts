/** One row of words: as it is, with gate and up, and behind a norm; by the layout that a device's limits give, and by others. */

import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { exactAwqWords, tuneWords } from "../../gpu/kernels/exact/exact-awq-words.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import { workgroupBytes } from "../../gpu/pipeline/kernel.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import type { ExactHandedGateUpCase } from "../ops/exact-gate-up-handed.ts";
import type { ExactNormAwqCase } from "../ops/exact-norm-awq.ts";
import { foundScales, repacked, wordSubject } from "../subjects/exact.ts";
import { packed } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Io, Rig } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;
const kernels = ["exact-awq-words", "exact-scale-bases", "awq-repack"];
/** For rows that leave no room for as many as a layer's kernels are given. */
const FEW = { teams: 2, quads: 8 } as const;

/** What a case gives, and how it is run. */
interface Given {
  readonly x: Float32Array;
  readonly scale?: Float32Array;
  readonly eps?: number;
  readonly bias: Float32Array | null;
  readonly initial?: Float32Array | null;
}

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const limits = workgroupLimits(rig.gpu.capabilities);
  const run = (
    io: Io,
    { x, scale, eps = 0, bias, initial = null }: Given,
    matrices: readonly ExactAwqCase["weight"][],
    P: 3 | 4,
    layout: { readonly teams?: number; readonly quads?: number } = {},
  ): void => {
    const { inFeatures: K, outFeatures: N, groupSize } = matrices[0]!;
    const unit = unitOf(groupSize);
    const paired = matrices.length === 2;
    const matrix = packed(io, matrices, FIRST_ROW, io.scratch, unit);
    const { bases, spread } = foundScales(io, matrix, matrices, FIRST_ROW + matrices.length * N);
    const norm = scale ? { inverse: bitsOf(nearest(1 / K)), eps: bitsOf(eps) } : null;
    const shape = { K, N, P, groupSize, unit, firstRow: FIRST_ROW, hasBias: bias !== null, adds: initial !== null, paired, spread, norm };
    const given = { x, ...(scale ? { scale } : {}), ...matrix, bases, ...(bias ? { bias } : {}), ...(initial ? { out: initial } : {}) };
    io.run(exactAwqWords, { ...(tuneWords(shape, limits) ?? { ...shape, ...FEW }), ...layout }, given);
  };
  const place = () => ({ T: 1 });
  const fits = ({ inFeatures: K, outFeatures: N, groupSize }: ExactAwqCase["weight"], P: 3 | 4, teams: number = FEW.teams): boolean => {
    const how = { firstRow: 0, hasBias: false, adds: false, paired: false, spread: 0, norm: null };
    return workgroupBytes(exactAwqWords, { K, N, P, groupSize, unit: unitOf(groupSize), ...how, ...FEW, teams }) <= limits.bytes;
  };
  return [
    ...[{}, { teams: 6, quads: 17 }].map((layout, i) =>
      wordSubject<ExactAwqCase>(rig, exactAwqWords, (io, c) => run(io, c, [c.weight], c.P, layout), place, {
        op: "exact-awq",
        variant: `exact-awq-words${["", "-teams"][i]}`,
        kernels,
        accepts: ({ T, P, weight }) => T === 1 && repacked(weight) && fits(weight, P, layout.teams),
      }),
    ),
    wordSubject<ExactHandedGateUpCase>(
      rig,
      exactAwqWords,
      (io, c) => run(io, { ...c, ...c.norm }, [c.gate, c.up], 3, { teams: c.each / 8, quads: c.each / 2 }),
      place,
      {
        op: "exact-gate-up-handed",
        variant: "exact-awq-words-paired",
        kernels,
        accepts: ({ gate, each }) => repacked(gate) && fits(gate, 3, each / 8) && 4 * each <= limits.invocations,
      },
    ),
    wordSubject<ExactNormAwqCase>(rig, exactAwqWords, (io, c) => run(io, c, [c.weight], 3), place, {
      op: "exact-norm-awq",
      kernels,
      accepts: ({ weight }) => repacked(weight) && fits(weight, 3),
    }),
  ];
};

import { exactAwqColumns } from "../../gpu/kernels/exact/exact-awq-columns.ts";
import { exactAwqColumns4 } from "../../gpu/kernels/exact/exact-awq-columns-4.ts";
import { exactAwqMatrix } from "../../gpu/kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../../gpu/kernels/exact/exact-awq-matrix-4.ts";
import { exactAwqTile } from "../../gpu/kernels/exact/exact-awq-tile.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import { COLUMN_STEP, fitsColumns } from "../../gpu/wgsl/exact-columns.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import { foundScales, operand, scaleSpread, wordSubject } from "../subjects/exact.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, onMatrices, type Rig } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;

const tile = (rig: Rig, kernel: typeof exactAwqTile, accepts: (c: ExactAwqCase) => boolean, columns = false): GpuSubject<ExactAwqCase> =>
  wordSubject<ExactAwqCase>(
    rig,
    kernel,
    (io, { T, P, x, weight, bias, initial }) => {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const unit = unitOf(groupSize);
      const matrix = packed(io, [weight], FIRST_ROW, io.scratch, unit);
      const { bases, spread } = foundScales(io, matrix.groups, [weight], FIRST_ROW + N);
      const lie = columns ? [unit, COLUMN_STEP] : [];
      const given = {
        ...operand(io, x, K, P, T, ...lie),
        ...matrix,
        bases,
        ...(bias ? { bias } : {}),
        ...(initial ? { out: initial } : {}),
      };
      const shape = { K, N, P, groupSize, unit, firstRow: FIRST_ROW, spread };
      io.run(kernel, { ...shape, hasBias: bias !== null, adds: initial !== null }, given);
    },
    ({ T }) => ({ T }),
    { op: "exact-awq", kernels: [kernel.name, "exact-scale-bases", "awq-repack"], accepts },
  );

const steps = ({ weight: { inFeatures, groupSize } }: ExactAwqCase, of: number): boolean => inFeatures % of === 0 && groupSize % of === 0;
export const subjects = (rig: Rig): AnyGpuSubject[] => [tile(rig, exactAwqTile, (c) => steps(c, 32))];
export const matrixSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqMatrix, [tile(rig, exactAwqMatrix, (c) => c.P === 3 && steps(c, 128))]);
export const matrix4Subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqMatrix4, [tile(rig, exactAwqMatrix4, (c) => c.P === 4 && steps(c, 128))]);

const fits = ({ P, weight }: ExactAwqCase, digits: 3 | 4): boolean =>
  P === digits && fitsColumns({ K: weight.inFeatures, groupSize: weight.groupSize, spread: scaleSpread(weight) });
export const columnsSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqColumns, [tile(rig, exactAwqColumns, (c) => fits(c, 3), true)]);
export const columns4Subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqColumns4, [tile(rig, exactAwqColumns4, (c) => fits(c, 4), true)]);

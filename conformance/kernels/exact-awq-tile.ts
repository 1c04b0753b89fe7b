import { exactAwqColumns } from "../../gpu/kernels/exact/exact-awq-columns.ts";
import { exactAwqColumns4 } from "../../gpu/kernels/exact/exact-awq-columns-4.ts";
import { exactAwqMatrix } from "../../gpu/kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../../gpu/kernels/exact/exact-awq-matrix-4.ts";
import { exactAwqTile } from "../../gpu/kernels/exact/exact-awq-tile.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import { COLUMN_STEP, fitsColumns } from "../../gpu/wgsl/exact-columns.ts";
import { MATRIX_STEP } from "../../gpu/wgsl/exact-matrix-tile.ts";
import { halves } from "../cases/words.ts";
import { JUNK, POISON } from "../compare.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import { foundScales, operand, scaleSpread } from "../subjects/exact.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;

/**
 * `thirds`: with its outputs in three parts of more rows than there are, of which those past the last stay as they were; else side by side.
 */
const tile = (
  rig: Rig,
  kernel: typeof exactAwqTile,
  accepts: (c: ExactAwqCase) => boolean,
  { step = 0, thirds = false } = {},
): GpuSubject<ExactAwqCase> =>
  subject<ExactAwqCase>(
    kernel,
    async ({ T, P, x, weight, bias, initial }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const rest = thirds ? Math.floor(N / 3) : 1;
      const parts = { first: thirds ? N - 2 * rest : N, rest, rows: T + (thirds ? 2 : 0) };
      const at = (t: number, n: number): number => {
        const from = n < parts.first ? 0 : n - ((n - parts.first) % rest);
        return parts.rows * from + t * (from === 0 ? parts.first : rest) + n - from;
      };
      const places = Array.from({ length: T * N }, (_, i) => at(Math.floor(i / N), i % N));
      const before = new Uint32Array(parts.rows * N).fill(POISON);
      if (initial) for (const [i, word] of new Uint32Array(initial.slice().buffer).entries()) before[places[i]!] = word;
      const read = await runKernel(rig, T, 0, (io) => {
        const unit = unitOf(groupSize);
        const matrix = packed(io, [weight], FIRST_ROW, io.scratch, unit);
        const { bases, spread } = foundScales(io, matrix, [weight], FIRST_ROW + N);
        const lie = [step === COLUMN_STEP ? unit : 1, step];
        const given = { ...operand(io, x, K, P, T, ...lie), ...matrix, bases, ...(bias ? { bias } : {}), out: before };
        const shape = { K, N, P, groupSize, unit, firstRow: FIRST_ROW, spread, ...(thirds ? { parts } : {}) };
        io.run(kernel, { ...shape, hasBias: bias !== null, adds: initial !== null }, given);
      });
      const words = inside(read.out!);
      const result = Uint32Array.from(places, (place) => words[place]!);
      for (const place of places) words[place] = POISON;
      // A word between the parts that is no poison any more spoils them all.
      hand(out, halves(words.every((word) => word === POISON) ? result : result.fill(JUNK)), read);
    },
    {
      ...(thirds ? { variant: `${kernel.name} in parts` } : {}),
      op: "exact-awq",
      kernels: [kernel.name, "exact-scale-bases", "awq-repack"],
      accepts,
    },
  );

const steps = ({ weight: { inFeatures, groupSize } }: ExactAwqCase, of: number): boolean => inFeatures % of === 0 && groupSize % of === 0;
export const subjects = (rig: Rig): AnyGpuSubject[] => [
  tile(rig, exactAwqTile, (c) => steps(c, 32)),
  tile(rig, exactAwqTile, (c) => steps(c, 32), { thirds: true }),
];
export const matrixSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqMatrix, [tile(rig, exactAwqMatrix, (c) => c.P === 3 && steps(c, 128), { step: MATRIX_STEP })]);
export const matrix4Subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqMatrix4, [tile(rig, exactAwqMatrix4, (c) => c.P === 4 && steps(c, 128), { step: MATRIX_STEP })]);

const fits = ({ P, weight }: ExactAwqCase, digits: 3 | 4): boolean =>
  P === digits && fitsColumns({ K: weight.inFeatures, groupSize: weight.groupSize, spread: scaleSpread(weight) });
export const columnsSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqColumns, [tile(rig, exactAwqColumns, (c) => fits(c, 3), { step: COLUMN_STEP })]);
export const columns4Subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactAwqColumns4, [tile(rig, exactAwqColumns4, (c) => fits(c, 4), { step: COLUMN_STEP })]);

import { exactDense } from "../../gpu/kernels/exact/exact-dense.ts";
import { exactDenseMatrix } from "../../gpu/kernels/exact/exact-dense-matrix.ts";
import { exactDenseTile } from "../../gpu/kernels/exact/exact-dense-tile.ts";
import { digitBytes, exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import { MOST_COLUMN_INPUTS } from "../../gpu/wgsl/exact-columns.ts";
import { halves } from "../cases/words.ts";
import type { ExactDenseCase } from "../ops/exact-dense.ts";
import { operand } from "../subjects/exact.ts";
import { paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

const dense = (rig: Rig, kernel: typeof exactDense | typeof exactDenseTile, most = Infinity): GpuSubject<ExactDenseCase> =>
  subject<ExactDenseCase>(
    kernel,
    async ({ T, P, tile, x, weight, bias, initial }, out) => {
      const { inFeatures: K, outFeatures: N, dtype } = weight;
      const read = await runKernel(rig, T, 0, (io) => {
        const weights = io.scratch("weights", digitBytes(K, 3, N).digits);
        // Between guard bands: a workgroup past the last row shows there.
        const rowExponents = io.output("row exponents", N);
        const made = { digits: weights, sums: io.scratch("no sums", 16), exponents: rowExponents };
        io.run(exactDigits, { K, P: 3, dtype, rows: N }, { x: paddedRows(weight), ...made });
        const { digits, exponents } = operand(io, x, K, P, T);
        const given = { digits, exponents, weights, rowExponents, ...(bias ? { bias } : {}), ...(initial ? { out: initial } : {}) };
        const shape = { K, N, P, tile, firstColumn: 0, columns: N, hasBias: bias !== null, adds: initial !== null };
        io.run(kernel, shape, given);
      });
      hand(out, halves(inside(read.out!)), read);
    },
    { op: "exact-dense", kernels: [kernel.name, "exact-digits"], accepts: ({ weight }) => weight.inFeatures <= most },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [dense(rig, exactDense)];
export const matrixSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactDenseMatrix, [dense(rig, exactDenseMatrix, MOST_COLUMN_INPUTS)]);
export const tileSubjects = (rig: Rig): AnyGpuSubject[] => [dense(rig, exactDenseTile)];

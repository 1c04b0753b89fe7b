import { exactDense } from "../../gpu/kernels/exact/exact-dense.ts";
import { digitBytes, exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import type { ExactDenseCase } from "../ops/exact-dense.ts";
import { operand, wordSubject } from "../subjects/exact.ts";
import { paddedRows } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactDenseCase>(
    rig,
    exactDense,
    (io, { T, P, tile, x, weight, bias, initial }) => {
      const { inFeatures: K, outFeatures: N, dtype } = weight;
      const bytes = digitBytes(K, 3, N);
      const weights = io.scratch("weights", bytes.digits);
      const rowExponents = io.scratch("row exponents", bytes.exponents);
      const made = { digits: weights, sums: io.scratch("no sums", 16), exponents: rowExponents };
      io.run(exactDigits, { K, P: 3, dtype, rows: N }, { x: paddedRows(weight), ...made });
      const { digits, exponents } = operand(io, x, K, P, T);
      const given = { digits, exponents, weights, rowExponents, ...(bias ? { bias } : {}), ...(initial ? { out: initial } : {}) };
      const shape = { K, N, P, tile, firstColumn: 0, columns: N, hasBias: bias !== null, adds: initial !== null };
      io.run(exactDense, shape, given);
    },
    ({ T }) => ({ T }),
    { kernels: ["exact-dense", "exact-digits"] },
  ),
];

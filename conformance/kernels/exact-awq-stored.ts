import { exactAwqStored } from "../../gpu/kernels/exact/exact-awq-stored.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import { operand, wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactAwqCase>(
    rig,
    exactAwqStored,
    (io, { T, P, tile, x, weight, bias, initial }) => {
      const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
      const { digits, exponents } = operand(io, x, K, P, T);
      const given = { digits, exponents, qweight, qzeros, scales, ...(bias ? { bias } : {}), ...(initial ? { out: initial } : {}) };
      const shape = { K, N, P, tile, groupSize, firstColumn: 0, columns: N, hasBias: bias !== null, adds: initial !== null };
      io.run(exactAwqStored, shape, given);
    },
    ({ T }) => ({ T }),
    { op: "exact-awq" },
  ),
];

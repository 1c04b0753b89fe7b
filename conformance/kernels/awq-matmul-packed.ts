import { awqMatmulPacked } from "../../gpu/kernels/plain/awq-matmul-packed.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, intoOut, type Rig, subject } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<AwqMatmulCase>(
    awqMatmulPacked,
    ({ T, x, weight, bias }, out) =>
      intoOut(rig, out, T, 0, (io) => {
        const { inFeatures: K, outFeatures: N, groupSize } = weight;
        const given = { x, ...packed(io, [weight], FIRST_ROW), ...(bias ? { bias } : {}) };
        io.run(awqMatmulPacked, { K, N, groupSize, firstRow: FIRST_ROW, hasBias: bias !== null }, given);
      }),
    {
      op: "awq-matmul",
      kernels: ["awq-matmul-packed", "awq-repack"],
      accepts: ({ weight }) => weight.groupSize % 32 === 0 || weight.groupSize === weight.inFeatures,
    },
  ),
];

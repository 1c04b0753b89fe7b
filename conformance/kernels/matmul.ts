import { type MatmulShape, matmul } from "../../gpu/kernels/plain/matmul.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import { besideOthers } from "../subjects/beside.ts";
import { inTwo, paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, intoOut, type Rig, subject } from "../subjects/rig.ts";

type Dense = Card<"x" | "weight" | "bias" | "out", MatmulShape> | Card<"step" | "x" | "weight" | "bias" | "out", MatmulShape>;

/** A kernel for a dense linear. */
export const denseLinear = (rig: Rig, kernel: Dense): GpuSubject<MatmulCase> =>
  subject<MatmulCase>(
    kernel,
    ({ T, x, weight, bias }, out) => {
      const { inFeatures: K, outFeatures: N, dtype } = weight;
      return besideOthers(rig, out, T, N, bias, (io, beside, given) => {
        io.run(kernel as Card<string, MatmulShape>, { dtype, K, N, ...beside }, { x, weight: paddedRows(weight), ...given });
      });
    },
    { op: "matmul", strides: true },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  denseLinear(rig, matmul),
  subject<MatmulCase>(
    matmul,
    ({ T, x, weight, bias }, out) =>
      intoOut(rig, out, T, 0, (io) => {
        const { inFeatures: K, outFeatures: columns, dtype } = weight;
        const shape = { dtype, K, columns, hasBias: bias !== null };
        let buffers = {};
        for (const { from, to } of inTwo(weight)) {
          const given = { x, ...(bias ? { bias } : {}), ...buffers, weight: paddedRows(weight, from, to) };
          buffers = io.run(matmul, { ...shape, N: to - from, firstColumn: from }, given);
        }
      }),
    { variant: "matmul-in-pieces", special: true },
  ),
];

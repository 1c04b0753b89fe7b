import { type AwqMatmulShape, awqMatmul } from "../../gpu/kernels/plain/awq-matmul.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import { besideOthers } from "../subjects/beside.ts";
import { type AnyGpuSubject, type GpuSubject, type Rig, subject } from "../subjects/rig.ts";

type Names = "x" | "qweight" | "qzeros" | "scales" | "bias" | "out";
type Awq = Card<Names, AwqMatmulShape> | Card<"step" | Names, AwqMatmulShape>;

/** A kernel for an int4 linear in the checkpoint's layout. */
export const awqLinear = (rig: Rig, kernel: Awq): GpuSubject<AwqMatmulCase> =>
  subject<AwqMatmulCase>(
    kernel,
    ({ T, x, weight, bias }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
      return besideOthers(rig, out, T, N, bias, (io, beside, given) => {
        io.run(kernel as Card<string, AwqMatmulShape>, { K, N, groupSize, ...beside }, { x, qweight, qzeros, scales, ...given });
      });
    },
    { op: "awq-matmul" },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [awqLinear(rig, awqMatmul)];

import { type AwqMatmulShape, awqMatmul } from "../../gpu/kernels/plain/awq-matmul.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import { type AnyGpuSubject, type GpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

type Names = "x" | "qweight" | "qzeros" | "scales" | "bias" | "out";
type Awq = Card<Names, AwqMatmulShape> | Card<"step" | Names, AwqMatmulShape>;

/** A kernel for an int4 linear in the checkpoint's layout. */
export const awqLinear = (rig: Rig, kernel: Awq): GpuSubject<AwqMatmulCase> =>
  oneCall(
    rig,
    kernel,
    ({ T, x, weight, bias }: AwqMatmulCase) => {
      const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
      const shape = { K, N, groupSize, firstColumn: 0, columns: N, hasBias: bias !== null };
      return { T, shape, given: { x, qweight, qzeros, scales, ...(bias ? { bias } : {}) } };
    },
    { op: "awq-matmul" },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [awqLinear(rig, awqMatmul)];

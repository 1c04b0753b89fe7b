import { awqRows16GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows16-gate-up-matrix.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { GateUpShape } from "../../gpu/wgsl/gate-up-end.ts";
import type { GateUpMatrixCase } from "../ops/awq-gate-up-f16-matrix.ts";
import { fromEights, packed, toEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** A kernel whose tile has so many rows: those of the case, then rows of FILL. */
export const gateUpSubjects = (
  rig: Rig,
  kernel: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape>,
  tile: number,
): AnyGpuSubject[] =>
  onMatrices(rig, kernel, [
    subject<GateUpMatrixCase>(
      kernel,
      async ({ T, x, weight, bias }, out) => {
        const { inFeatures: K, outFeatures, groupSize: group } = weight;
        const shape = { K, F: outFeatures / 2, group, hasBias: bias !== null };
        const read = await runKernel(rig, T, 0, (io) => {
          io.run(kernel, shape, { x: toEights(x, tile * K), ...packed(io, [weight]), ...(bias ? { bias } : {}) });
        });
        hand(out, fromEights(read.out!).subarray(0, out.length), read);
      },
      { op: "awq-gate-up-f16-matrix", accepts: ({ T }) => T <= tile },
    ),
  ]);

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqRows16GateUpMatrix, 16);

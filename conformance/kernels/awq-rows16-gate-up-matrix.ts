import { awqRows16GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows16-gate-up-matrix.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { GateUpShape } from "../../gpu/wgsl/gate-up-end.ts";
import type { GateUpMatrixCase } from "../ops/awq-gate-up-f16-matrix.ts";
import { fromEights, fromPanels, packed, toEights, toPanels } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** A kernel whose tile has so many rows: those of the case, then rows of FILL. `many`: for any number of them; `panels`: x and out in panels. */
export const gateUpSubjects = (
  rig: Rig,
  kernel: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape>,
  tile: number,
  { many = false, panels = false }: { readonly many?: boolean; readonly panels?: boolean } = {},
): AnyGpuSubject[] =>
  onMatrices(rig, kernel, [
    subject<GateUpMatrixCase>(
      kernel,
      async ({ T, x, weight, bias }, out) => {
        const { inFeatures: K, outFeatures, groupSize: group } = weight;
        const F = outFeatures / 2;
        const given = { x: panels ? toPanels(x, K) : toEights(x, tile * Math.ceil(T / tile) * K), ...(bias ? { bias } : {}) };
        const read = await runKernel(rig, T, 0, (io) => {
          io.run(kernel, { K, F, group, hasBias: bias !== null }, { ...given, ...packed(io, [weight]) });
        });
        hand(out, panels ? fromPanels(read.out!, T, F) : fromEights(read.out!).subarray(0, out.length), read);
      },
      { op: "awq-gate-up-f16-matrix", accepts: ({ T }) => many || T <= tile },
    ),
  ]);

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqRows16GateUpMatrix, 16);

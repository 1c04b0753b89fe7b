import { awqGateUpFixed16, tuneGateUp } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { MOST_BY_HAND } from "../cases/fixed16.ts";
import type { GateUpCase } from "../ops/awq-gate-up-fixed16.ts";
import { digitsOf, fromPlanes, packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  [
    { team: 32, per: 4 },
    { team: 64, per: 16 },
  ].map(({ team, per }) =>
    subject<GateUpCase>(
      awqGateUpFixed16,
      async ({ gate, up, eps, scaled, squares }, out) => {
        const { inFeatures: K, outFeatures: F, groupSize: group } = gate;
        const limits = workgroupLimits(rig.gpu.capabilities);
        const cut = K > MOST_BY_HAND ? tuneGateUp({ K, F, group, eps }, limits) : { K, F, group, team, eps, per };
        const read = await runKernel(rig, 1, 0, (io) => {
          io.run(awqGateUpFixed16, cut, { ...digitsOf(scaled, squares), ...packed(io, [gate, up]) });
        });
        hand(out, fromPlanes(read.h!), read);
      },
      { variant: `awq-gate-up-fixed16-${per}x${team}` },
    ),
  );

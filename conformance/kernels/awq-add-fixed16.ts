import { awqAddFixed16 } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { type Fixed16Case, MOST_BY_HAND } from "../cases/fixed16.ts";
import { addSubjects, int4Layout } from "../subjects/decode.ts";
import { fromPlanes, packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  // The residual alone, which is the linear with a bias.
  subject<Fixed16Case>(
    awqAddFixed16,
    async ({ x, weight, bias }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
      const read = await runKernel(rig, 1, 0, (io) => {
        const next_norm = inPlanes(new Float32Array(N).fill(1));
        const given = { x_in: inPlanes(x), ...packed(io, [weight]), residual: inPlanes(bias), next_norm };
        const linear = { K, N, group, hasBias: false };
        const tuned = awqAddFixed16.tune(linear, workgroupLimits(rig.gpu.capabilities));
        io.run(awqAddFixed16, K > MOST_BY_HAND ? tuned : { ...linear, team: 32, teams: 1 }, given);
      });
      hand(out, fromPlanes(read.residual!, N), read);
    },
    { op: "awq-matmul-fixed16", variant: "awq-add-fixed16-1x32" },
  ),
  ...addSubjects(rig, awqAddFixed16, int4Layout),
];

/** Both ways between the layouts, behind other rows of the target, which keep what they hold. */
import { awqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { awqUnpack } from "../../gpu/kernels/layout/awq-unpack.ts";
import { halves } from "../cases/words.ts";
import { POISON } from "../compare.ts";
import type { AwqRepackCase } from "../ops/awq-repack.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

const FIRST_ROW = 12;

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<AwqRepackCase>(
    awqRepack,
    async ({ weight }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const read = await runKernel(rig, 1, 0, (io) => {
        const target = packed(io, [weight], FIRST_ROW, (label, byteLength) => io.output(label, byteLength / 4));
        io.run(awqUnpack, { K, N, groupSize, firstRow: FIRST_ROW }, target);
      });
      const { weights, groups, qweight, qzeros, scales } = read;
      hand(
        out,
        [qweight!, qzeros!, scales!].flatMap((words) => [...halves(inside(words))]),
        read,
      );
      const others = [inside(weights!).subarray(0, (FIRST_ROW * K) / 8), inside(groups!).subarray(0, FIRST_ROW * (K / groupSize))];
      if (others.some((rows) => rows.some((word) => word !== POISON))) out[0] = Number.NaN;
    },
    {
      kernels: ["awq-repack", "awq-unpack"],
      accepts: ({ weight }) => weight.groupSize % 32 === 0 || weight.groupSize === weight.inFeatures,
    },
  ),
];

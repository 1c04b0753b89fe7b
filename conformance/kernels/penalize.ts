import { greedy } from "../../core/sample/sampler.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import type { PenalizeCase } from "../ops/penalize.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { ROWS, twoOptions, twoRows, twoSeen } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<PenalizeCase>(
    penalize,
    async ({ logits, seen, penalty }, out) => {
      const V = logits.length;
      const given = { logits: twoRows(logits), seen: twoSeen(seen, V), sampling: twoOptions({ ...greedy, repetitionPenalty: penalty }) };
      const read = await runKernel(rig, ROWS, 0, (io) => void io.run(penalize, { V }, given));
      // Nothing of the row before is seen: its scores are its logits.
      const scores = asF32(inside(read.scores!));
      const intact = given.logits.subarray(0, V).every((logit, i) => scores[i] === logit);
      hand(out, intact ? scores.subarray(V) : new Float32Array(V).fill(Number.NaN), read);
    },
    { strides: true },
  ),
];

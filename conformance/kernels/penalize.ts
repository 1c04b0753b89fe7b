import { greedy } from "../../core/sample/sampler.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import type { PenalizeCase } from "../ops/penalize.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { allLogits, allOptions, allSeen, rowsFor } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<PenalizeCase>(
    penalize,
    async ({ logits, seen, penalty }, out) => {
      const V = logits.length;
      const given = {
        logits: allLogits(logits),
        seen: allSeen(seen, V),
        sampling: allOptions({ ...greedy, repetitionPenalty: penalty }, V),
      };
      const read = await runKernel(rig, rowsFor(V), 0, (io) => void io.run(penalize, { V }, given));
      const before = given.logits.length - V;
      // Nothing of the rows before is seen: their scores are their logits.
      const scores = asF32(inside(read.scores!));
      const intact = given.logits.subarray(0, before).every((logit, i) => scores[i] === logit);
      hand(out, intact ? scores.subarray(before) : new Float32Array(V).fill(Number.NaN), read);
    },
    { strides: true },
  ),
];

import { greedy } from "../../core/sample/sampler.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import { encodeSampling } from "../../gpu/wgsl/sampling.ts";
import type { PenalizeCase } from "../ops/penalize.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";
import { seenBits } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(
    rig,
    penalize,
    ({ logits, seen, penalty }: PenalizeCase) => ({
      shape: { V: logits.length },
      given: { logits, seen: seenBits(seen, logits.length), sampling: encodeSampling({ ...greedy, repetitionPenalty: penalty }) },
    }),
    { strides: true },
  ),
];

import { sampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import type { SampleCase } from "../ops/sample.ts";
import { type AnyGpuSubject, type Rig, subject } from "../subjects/rig.ts";
import { drawToken } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<SampleCase>(sampleGreedy, (c, out) => drawToken(rig, c, out), {
    op: "sample",
    kernels: ["logits-partials", "penalize", "sample-greedy"],
    adapt: (c) => ({ ...c, options: { ...c.options, temperature: 0 } }),
  }),
];

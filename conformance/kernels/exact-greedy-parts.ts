import { exactGreedyParts } from "../../gpu/kernels/exact/exact-greedy-parts.ts";
import type { ExactGreedyPartsCase } from "../ops/exact-greedy-parts.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactGreedyPartsCase>(
    rig,
    exactGreedyParts,
    (io, { logits }) => void io.run(exactGreedyParts, { V: logits.length }, { logits }),
    () => ({ T: 1 }),
  ),
];

import { exactGreedyParts } from "../../gpu/kernels/exact/exact-greedy-parts.ts";
import type { ExactGreedyPartsCase } from "../ops/exact-greedy-parts.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactGreedyPartsCase>(
    rig,
    exactGreedyParts,
    (io, { logits }) => {
      // Behind the logits is the largest once more, which would weigh most if a part took one too many.
      const behind = new Float32Array(logits.length + 1).fill(logits.reduce((a, b) => Math.max(a, b)));
      behind.set(logits);
      io.run(exactGreedyParts, { V: logits.length }, { logits: behind });
    },
    () => ({ T: 1 }),
  ),
];

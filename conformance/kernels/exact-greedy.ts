import { exactGreedy } from "../../gpu/kernels/exact/exact-greedy.ts";
import { exactGreedyParts, GREEDY_BYTES } from "../../gpu/kernels/exact/exact-greedy-parts.ts";
import { BEFORE, before, type ExactGreedyCase } from "../ops/exact-greedy.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactGreedyCase>(
    rig,
    exactGreedy,
    (io, { logits }) => {
      const partials = io.scratch("partials", GREEDY_BYTES);
      io.run(exactGreedyParts, { V: logits.length }, { logits, partials });
      io.run(exactGreedy, {}, { partials, step: Uint32Array.of(3, 7, BEFORE, 9), results: Uint32Array.of(...before, 0, 0) });
    },
    () => ({ T: 1 }),
    { kernels: ["exact-greedy-parts", "exact-greedy"] },
  ),
];

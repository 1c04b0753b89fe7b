import { exactGreedy } from "../../gpu/kernels/exact/exact-greedy.ts";
import type { ExactGreedyCase } from "../ops/exact-greedy.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactGreedyCase>(
    rig,
    exactGreedy,
    (io, { logits }) => {
      const given = { logits, step: io.input("step", Uint32Array.of(1, 7, 0, 0)), ids: io.input("ids", new Uint32Array(4)) };
      io.run(exactGreedy, { V: logits.length }, given);
    },
    () => ({ T: 1 }),
  ),
];

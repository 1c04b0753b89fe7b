import { exactAdd } from "../../gpu/kernels/exact/exact-add.ts";
import type { ExactAddCase } from "../ops/exact-add.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactAddCase>(
    rig,
    exactAdd,
    (io, { width, x, y }) => void io.run(exactAdd, { width }, { x, y }),
    ({ width, x }) => ({ T: x.length / width }),
  ),
];

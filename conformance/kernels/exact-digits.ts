import { exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import type { ExactDigitsCase } from "../ops/exact-digits.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactDigitsCase>(
    rig,
    exactDigits,
    (io, { K, P, x }) => void io.run(exactDigits, { K, P, lanes: 32, parts: 2 }, { x }),
    ({ rows }) => ({ T: rows }),
  ),
];

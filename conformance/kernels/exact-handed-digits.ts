import { exactHandedDigits } from "../../gpu/kernels/exact/exact-handed-digits.ts";
import type { ExactHandedDigitsCase } from "../ops/exact-handed-digits.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactHandedDigitsCase>(
    rig,
    exactHandedDigits,
    (io, { K, P, x, tops }) =>
      void io.run(exactHandedDigits, { K, P, tops: tops.length, lanes: 32, unit: 1 }, { x: Float32Array.from([...x, ...tops]) }),
    () => ({ T: 1 }),
  ),
];

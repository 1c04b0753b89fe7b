import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { exactNormDigits } from "../../gpu/kernels/exact/exact-norm-digits.ts";
import type { ExactNormCase } from "../ops/exact-norm.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactNormCase>(
    rig,
    exactNormDigits,
    (io, { D, eps, x, weight }) =>
      void io.run(exactNormDigits, { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(eps), lanes: 32, parts: 2, unit: 1 }, { x, weight }),
    ({ rows }) => ({ T: rows }),
  ),
];

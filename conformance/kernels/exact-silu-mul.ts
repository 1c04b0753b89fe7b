import { exactSiluMul } from "../../gpu/kernels/exact/exact-silu-mul.ts";
import type { ExactSiluMulCase } from "../ops/exact-silu-mul.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactSiluMulCase>(
    rig,
    exactSiluMul,
    (io, { width, gate, up }) => void io.run(exactSiluMul, { width }, { gate, up: io.input("up", up) }),
    ({ width, gate }) => ({ T: gate.length / width }),
  ),
];

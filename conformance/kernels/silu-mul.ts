import { siluMul } from "../../gpu/kernels/plain/silu-mul.ts";
import type { SiluMulCase } from "../ops/silu-mul.ts";
import { inRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(rig, siluMul, ({ gate, up, length }: SiluMulCase) => ({ ...inRows(length), given: { gate, up } }), { strides: true }),
];

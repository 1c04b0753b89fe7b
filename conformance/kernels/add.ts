import { add } from "../../gpu/kernels/plain/add.ts";
import type { AddCase } from "../ops/add.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(rig, add, ({ a, b, length }: AddCase) => ({ shape: { width: length }, given: { x: a, y: b } }), { strides: true }),
];

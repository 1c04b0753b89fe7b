import { add } from "../../gpu/kernels/plain/add.ts";
import type { AddCase } from "../ops/add.ts";
import { inRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(rig, add, ({ a, b, length }: AddCase) => ({ ...inRows(length), given: { x: a, y: b } }), { strides: true }),
];

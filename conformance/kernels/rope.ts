import { rope, ropeTable } from "../../gpu/kernels/plain/rope.ts";
import type { RopeCase } from "../ops/rope.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(rig, rope, ({ T, start, heads, tables, x }: RopeCase) => ({
    T,
    start,
    shape: { heads, halfDim: tables.halfDim },
    given: { table: ropeTable(tables), x },
  })),
];

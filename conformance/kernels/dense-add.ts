import { denseAdd } from "../../gpu/kernels/decode/dense-add.ts";
import { addSubjects, denseLayout } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => addSubjects(rig, denseAdd, denseLayout);

import { denseGateUp } from "../../gpu/kernels/decode/dense-gate-up.ts";
import { denseLayout, gateUpSubjects } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, denseGateUp, denseLayout);

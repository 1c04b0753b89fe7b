import { awqGateUpF32 } from "../../gpu/kernels/decode/awq-gate-up-f32.ts";
import { gateUpSubjects, int4Layout } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqGateUpF32, int4Layout);

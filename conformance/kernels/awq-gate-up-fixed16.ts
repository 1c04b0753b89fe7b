import { awqGateUpFixed16 } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { gateUpSubjects, int4Layout } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqGateUpFixed16, int4Layout);

import { awqPrefillGateUpMatrix } from "../../gpu/kernels/prefill/awq-prefill-gate-up-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { gateUpSubjects } from "./awq-rows16-gate-up-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqPrefillGateUpMatrix, 128, { many: true });

import { awqPanelsGateUpMatrix } from "../../gpu/kernels/prefill/awq-panels-gate-up-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { gateUpSubjects } from "./awq-rows16-gate-up-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqPanelsGateUpMatrix, 128, { many: true, panels: true });

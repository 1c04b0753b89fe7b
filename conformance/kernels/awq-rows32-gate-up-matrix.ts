import { awqRows32GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows32-gate-up-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { gateUpSubjects } from "./awq-rows16-gate-up-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => gateUpSubjects(rig, awqRows32GateUpMatrix, 32);

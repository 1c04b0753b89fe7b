import { awqRows64F16Matrix } from "../../gpu/kernels/prefill/awq-rows64-f16-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { tileSubjects } from "./awq-prefill-f16-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => tileSubjects(rig, awqRows64F16Matrix, 64);

import { awqRows32F16Matrix } from "../../gpu/kernels/prefill/awq-rows32-f16-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { tileSubjects } from "./awq-prefill-f16-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => tileSubjects(rig, awqRows32F16Matrix, 32);

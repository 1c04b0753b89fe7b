import { awqAddF32 } from "../../gpu/kernels/decode/awq-add-f32.ts";
import { addSubjects, int4Layout } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => addSubjects(rig, awqAddF32, int4Layout);

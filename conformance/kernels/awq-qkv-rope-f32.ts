import { awqQkvRopeF32 } from "../../gpu/kernels/decode/awq-qkv-rope-f32.ts";
import { int4Layout, qkvRopeSubjects } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => qkvRopeSubjects(rig, awqQkvRopeF32, int4Layout);

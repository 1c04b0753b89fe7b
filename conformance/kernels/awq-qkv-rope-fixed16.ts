import { awqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { int4Layout, qkvRopeSubjects } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => qkvRopeSubjects(rig, awqQkvRopeFixed16, int4Layout);

import { denseQkvRope } from "../../gpu/kernels/decode/dense-qkv-rope.ts";
import { denseLayout, qkvRopeSubjects } from "../subjects/decode.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => qkvRopeSubjects(rig, denseQkvRope, denseLayout);

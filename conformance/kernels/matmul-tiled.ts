import { matmulTiled } from "../../gpu/kernels/plain/matmul-tiled.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { denseLinear } from "./matmul.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [denseLinear(rig, matmulTiled)];

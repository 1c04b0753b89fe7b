import { awqMatmulTiled } from "../../gpu/kernels/plain/awq-matmul-tiled.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { awqLinear } from "./awq-matmul.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [awqLinear(rig, awqMatmulTiled)];

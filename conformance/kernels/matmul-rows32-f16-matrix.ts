import { matmulRows32F16Matrix } from "../../gpu/kernels/prefill/matmul-rows32-f16-matrix.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { denseTileSubjects } from "./matmul-prefill-f16-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => denseTileSubjects(rig, matmulRows32F16Matrix, 32);

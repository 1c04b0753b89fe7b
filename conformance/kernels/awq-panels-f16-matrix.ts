import { awqPanelsF16Matrix } from "../../gpu/kernels/prefill/awq-panels-f16-matrix.ts";
import { toPanels } from "../subjects/layouts.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";
import { tileSubjects } from "./awq-prefill-f16-matrix.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => tileSubjects(rig, awqPanelsF16Matrix, 128, (x, _rows, K) => toPanels(x, K));

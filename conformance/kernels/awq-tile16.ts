import { awqTile16 } from "../../gpu/kernels/plain/awq-tile16.ts";
import { awqTileSubjects, PIECES } from "../cases/tiles.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => awqTileSubjects(rig, awqTile16, [1, PIECES]);

import { awqTile64 } from "../../gpu/kernels/plain/awq-tile64.ts";
import { awqTileSubjects, PIECES } from "../cases/tiles.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => awqTileSubjects(rig, awqTile64, [1, PIECES]);

import { matmulTile64 } from "../../gpu/kernels/plain/matmul-tile64.ts";
import { matmulTileSubjects, PIECES } from "../cases/tiles.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => matmulTileSubjects(rig, matmulTile64, [PIECES]);

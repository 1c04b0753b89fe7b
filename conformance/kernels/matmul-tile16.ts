import { matmulTile16 } from "../../gpu/kernels/plain/matmul-tile16.ts";
import { matmulTileSubjects, PIECES } from "../cases/tiles.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => matmulTileSubjects(rig, matmulTile16, [1, PIECES]);

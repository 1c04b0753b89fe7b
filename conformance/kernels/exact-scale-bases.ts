import { exactScaleBases } from "../../gpu/kernels/exact/exact-scale-bases.ts";
import { type ExactScaleBasesCase, zeroOf } from "../ops/exact-scale-bases.ts";
import { wordSubject } from "../subjects/exact.ts";
import type { AnyGpuSubject, Rig } from "../subjects/rig.ts";

/** [rows/4, groups, 4] words, each a scale with a zero point above it. */
function groupWords({ rows, groups, scales }: ExactScaleBasesCase): Uint32Array {
  const out = new Uint32Array(rows * groups);
  for (let n = 0; n < rows; n++)
    for (let g = 0; g < groups; g++) out[((n >> 2) * groups + g) * 4 + (n & 3)] = scales[n * groups + g]! | (zeroOf(n, g) << 16);
  return out;
}

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactScaleBasesCase>(
    rig,
    exactScaleBases,
    (io, c) => {
      const { rows, groups, before } = c;
      const shape = { K: 32 * groups, rows, groupSize: 32, unit: 1 };
      io.run(exactScaleBases, shape, { weights: c.weights, groups: groupWords(c), spread: Uint32Array.of(before) });
    },
    () => ({ T: 1 }),
  ),
];

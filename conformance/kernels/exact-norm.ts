import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { exactNorm } from "../../gpu/kernels/exact/exact-norm.ts";
import type { ExactNormCase } from "../ops/exact-norm.ts";
import { wordSubject } from "../subjects/exact.ts";
import { type AnyGpuSubject, FILL, type Rig } from "../subjects/rig.ts";

const shapeOf = ({ D, eps }: ExactNormCase): { D: number; inverse: number; eps: number } => ({
  D,
  inverse: bitsOf(nearest(1 / D)),
  eps: bitsOf(eps),
});

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactNormCase>(
    rig,
    exactNorm,
    (io, c) => void io.run(exactNorm, shapeOf(c), { x: c.x, weight: c.weight }),
    ({ rows }) => ({ T: rows }),
  ),
  // The rows as heads of one position.
  wordSubject<ExactNormCase>(
    rig,
    exactNorm,
    (io, c) => void io.run(exactNorm, { ...shapeOf(c), heads: c.rows }, { x: c.x, weight: c.weight }),
    () => ({ T: 1 }),
    { variant: "exact-norm-heads" },
  ),
  // One row, the last one of three.
  wordSubject<ExactNormCase>(
    rig,
    exactNorm,
    (io, c) => {
      const x = new Float32Array(3 * c.D).fill(FILL);
      x.set(c.x, 2 * c.D);
      io.run(exactNorm, { ...shapeOf(c), lastRow: true }, { x, weight: c.weight });
    },
    () => ({ T: 3 }),
    { variant: "exact-norm-last-row", adapt: (c) => ({ ...c, rows: 1, x: c.x.slice(0, c.D) }) },
  ),
];

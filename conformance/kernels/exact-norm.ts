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

const rowsBefore = ({ D }: ExactNormCase): number => (D < 256 ? 600 : 2);

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
  // One row, the last one of three, of more than 512 where rows are short.
  wordSubject<ExactNormCase>(
    rig,
    exactNorm,
    (io, c) => {
      const x = new Float32Array(rowsBefore(c) * c.D + c.D).fill(FILL);
      x.set(c.x, rowsBefore(c) * c.D);
      io.run(exactNorm, { ...shapeOf(c), lastRow: true }, { x, weight: c.weight });
    },
    (c) => ({ T: rowsBefore(c) + 1 }),
    { variant: "exact-norm-last-row", adapt: (c) => ({ ...c, rows: 1, x: c.x.slice(0, c.D) }) },
  ),
];

import { bitsOf, nearest } from "../../core/exact/numbers.ts";
import { exactNormDigits } from "../../gpu/kernels/exact/exact-norm-digits.ts";
import { halves } from "../cases/words.ts";
import type { ExactNormCase } from "../ops/exact-norm.ts";
import { normedWords, plainDigits, steps, wordSubject } from "../subjects/exact.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactNormCase>(
    rig,
    exactNormDigits,
    (io, { D, eps, x, weight }) =>
      void io.run(exactNormDigits, { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(eps), lanes: 32, parts: 2, unit: 1 }, { x, weight }),
    ({ rows }) => ({ T: rows }),
  ),
  subject<ExactNormCase>(
    exactNormDigits,
    async ({ D, eps, rows, x, weight }, out) => {
      const shape = { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(eps), lanes: 64, parts: 1, ...steps };
      const read = await runKernel(rig, rows, 0, (io) => void io.run(exactNormDigits, shape, { x, weight }));
      hand(out, halves(Uint32Array.from([...plainDigits(read, D, 3, rows), ...inside(read.exponents!)])), read);
    },
    { variant: "exact-norm-digits by steps", accepts: ({ D }) => D % 128 === 0 },
  ),
  subject<ExactNormCase>(
    exactNormDigits,
    async ({ D, eps, rows, x, weight }, out) => {
      const shape = { D, inverse: bitsOf(nearest(1 / D)), eps: bitsOf(eps), lanes: D > 256 ? 64 : 32, parts: 1, unit: 1, norms: true };
      const read = await runKernel(rig, rows, 0, (io) => void io.run(exactNormDigits, shape, { x, weight }));
      hand(out, halves(normedWords(read, D, rows)), read);
    },
    { variant: "exact-norm-digits with norms", accepts: ({ D }) => D % 128 === 0 },
  ),
];

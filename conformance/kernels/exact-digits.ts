import { exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import { halves } from "../cases/words.ts";
import type { ExactDigitsCase } from "../ops/exact-digits.ts";
import { normedWords, plainDigits, steps, wordSubject } from "../subjects/exact.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactDigitsCase>(
    rig,
    exactDigits,
    (io, { K, P, x }) => void io.run(exactDigits, { K, P, lanes: 32, parts: 2 }, { x }),
    ({ rows }) => ({ T: rows }),
  ),
  subject<ExactDigitsCase>(
    exactDigits,
    async ({ K, P, rows, x }, out) => {
      const read = await runKernel(rig, rows, 0, (io) => void io.run(exactDigits, { K, P, lanes: 64, ...steps }, { x }));
      hand(out, halves(Uint32Array.from([...plainDigits(read, K, P, rows), ...inside(read.exponents!)])), read);
    },
    { variant: "exact-digits by steps", accepts: ({ K }) => K % 128 === 0 },
  ),
  subject<ExactDigitsCase>(
    exactDigits,
    async ({ K, P, rows, x }, out) => {
      const read = await runKernel(rig, rows, 0, (io) => void io.run(exactDigits, { K, P, lanes: K > 1024 ? 64 : 32, norms: true }, { x }));
      hand(out, halves(normedWords(read, K, rows)), read);
    },
    { variant: "exact-digits with norms", accepts: ({ K, P }) => K % 128 === 0 && P === 3 },
  ),
];

import { exactSiluDigits } from "../../gpu/kernels/exact/exact-silu-digits.ts";
import { halves } from "../cases/words.ts";
import type { ExactSiluDigitsCase } from "../ops/exact-silu-digits.ts";
import { plainDigits, steps, wordSubject } from "../subjects/exact.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactSiluDigitsCase>(
    rig,
    exactSiluDigits,
    (io, { K, gate, up }) => void io.run(exactSiluDigits, { K }, { gate, up: io.input("up", up) }),
    ({ rows }) => ({ T: rows }),
  ),
  subject<ExactSiluDigitsCase>(
    exactSiluDigits,
    async ({ K, rows, gate, up }, out) => {
      const read = await runKernel(rig, rows, 0, (io) => void io.run(exactSiluDigits, { K, ...steps }, { gate, up: io.input("up", up) }));
      hand(out, halves(Uint32Array.from([...inside(read.gate!), ...plainDigits(read, K, 4, rows), ...inside(read.exponents!)])), read);
    },
    { variant: "exact-silu-digits by steps", accepts: ({ K }) => K % 128 === 0 },
  ),
];

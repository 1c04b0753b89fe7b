import { prefillDigits } from "../../gpu/kernels/prefill/prefill-digits.ts";
import { halves } from "../cases/words.ts";
import type { DigitsCase } from "../ops/prefill-digits.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<DigitsCase>(prefillDigits, async ({ T, K, x }, out) => {
    const read = await runKernel(rig, T, 0, (io) => void io.run(prefillDigits, { K }, { x }));
    hand(
      out,
      Object.values(read).flatMap((words) => [...halves(inside(words))]),
      read,
    );
  }),
];

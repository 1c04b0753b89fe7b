import { rmsNorm } from "../../gpu/kernels/plain/rms-norm.ts";
import { GUARD, JUNK } from "../compare.ts";
import type { RmsNormCase } from "../ops/rms-norm.ts";
import { type AnyGpuSubject, oneCall, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  oneCall(rig, rmsNorm, ({ T, x, weight, eps }: RmsNormCase) => ({ T, shape: { D: weight.length, eps }, given: { x, weight } })),
  subject<RmsNormCase>(
    rmsNorm,
    async ({ x, weight, eps, ...c }, out) => {
      // Each row as the last of those before it: T dispatches of T' = 1 … T rows, row T' − 1 into row T' − 1 of `out`.
      const D = weight.length;
      const whole = new Uint32Array(out.buffer);
      for (let T = 1; T <= c.T; T++) {
        const given = { x: x.slice(0, T * D), weight };
        const [words] = Object.values(await runKernel(rig, T, 0, (io) => void io.run(rmsNorm, { D, eps, lastRow: true }, given)));
        whole.set(words!.subarray(GUARD, GUARD + D), GUARD + (T - 1) * D);
        for (let j = 0; j < GUARD; j++) {
          if (words![j] !== JUNK) whole[j] = words![j]!;
          if (words![GUARD + D + j] !== JUNK) whole[whole.length - GUARD + j] = words![GUARD + D + j]!;
        }
      }
    },
    { variant: "rms-norm-last-row", special: true },
  ),
];

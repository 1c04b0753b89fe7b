/** What the subjects of `exact` share: outputs compared as words, and inputs of a linear as digits. */
import { type Digits, digitBytes, exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { halves } from "../cases/words.ts";
import { type GpuSubject, hand, type Io, inside, type Rig, runKernel, subject } from "./rig.ts";

/** A subject whose outputs, in the order they were made, are the op's words. */
export const wordSubject = <C>(
  rig: Rig,
  kernel: Kernel,
  build: (io: Io, c: C) => void,
  place: (c: C) => { readonly T: number; readonly start?: number },
  more: Partial<GpuSubject<C>> = {},
): GpuSubject<C> =>
  subject<C>(
    kernel,
    async (c, out) => {
      const { T, start = 0 } = place(c);
      const read = await runKernel(rig, T, start, (io) => build(io, c));
      hand(
        out,
        Object.values(read).flatMap((words) => [...halves(inside(words))]),
        read,
      );
    },
    more,
  );

/** x [rows, K] as digits, left by the kernel that makes them, for weights that lie by `unit`. */
export function operand(
  io: Io,
  x: Float32Array,
  K: number,
  P: Digits,
  rows: number,
  unit = 1,
): Record<"digits" | "sums" | "exponents", GPUBuffer> {
  const bytes = digitBytes(K, P, rows);
  const made = {
    digits: io.scratch("digits", bytes.digits),
    sums: io.scratch("sums", bytes.sums),
    exponents: io.scratch("exponents", bytes.exponents),
  };
  io.run(exactDigits, { K, P, unit }, { x, ...made });
  return made;
}

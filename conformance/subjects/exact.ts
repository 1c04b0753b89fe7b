/** What the subjects of `exact` share: outputs compared as words, and inputs of a linear as digits. */

import type { AwqMatrix } from "../../core/tensor.ts";
import { type Digits, digitBytes, exactDigits, tiledRows } from "../../gpu/kernels/exact/exact-digits.ts";
import { exactScaleBases } from "../../gpu/kernels/exact/exact-scale-bases.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
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

/** x [rows, K] as digits, left by the kernel that makes them, for weights that lie by `unit`, by `step` where that is not 0. */
export function operand(
  io: Io,
  x: Float32Array,
  K: number,
  P: Digits,
  rows: number,
  unit = 1,
  step = 0,
): Record<"digits" | "sums" | "exponents", GPUBuffer> {
  const bytes = digitBytes(K, P, rows);
  const made = {
    digits: io.scratch("digits", step > 0 ? digitBytes(K, P, tiledRows(rows)).digits : bytes.digits),
    sums: io.scratch("sums", bytes.sums),
    exponents: io.scratch("exponents", bytes.exponents),
  };
  io.run(exactDigits, { K, P, unit, step }, { x, ...made });
  return made;
}

/** Whether a matrix can be repacked. */
export const repacked = ({ inFeatures, groupSize }: AwqMatrix): boolean => inFeatures % 32 === 0 && groupSize % 32 === 0;

/** How far the exponents of a column's scales lie apart, in the matrix where that is most. */
export function scaleSpread({ scales, inFeatures, outFeatures, groupSize }: AwqMatrix): number {
  let most = 0;
  for (let n = 0; n < outFeatures; n++) {
    const bits = Array.from({ length: inFeatures / groupSize }, (_, g) => scales[g * outFeatures + n]! & 0x7fff).filter((b) => b > 0);
    const shifts = bits.map((b) => Math.max(b >> 10, 1));
    most = Math.max(most, Math.max(...shifts, 0) - Math.min(...shifts, 0x1f));
  }
  return most;
}

/** What exact-scale-bases.ts finds in the scales of repacked rows, of which the matrices make all but some before them. */
export function foundScales(io: Io, groups: BufferArg, matrices: readonly AwqMatrix[], rows: number): { bases: GPUBuffer; spread: number } {
  const { inFeatures: K, groupSize } = matrices[0]!;
  const bases = io.scratch("bases", 4 * rows);
  io.run(exactScaleBases, { K, rows, groupSize }, { groups, bases, spread: io.scratch("spread", 4) });
  return { bases, spread: Math.max(...matrices.map(scaleSpread)) };
}

/** The unit of the digits that steps are made of, and the blocks of such a step. */
const UNIT = 4;
const STEP = 2;
export const steps: { readonly unit: number; readonly step: number } = { unit: UNIT, step: STEP };
/** Digits, and sums where there are any, as they lie without units and steps, of those that lie by them (gpu/wgsl/exact-row.ts). K % 128 = 0. */
export function plainDigits({ digits, sums }: Record<string, Uint32Array>, K: number, P: Digits, rows: number): Uint32Array {
  const B = K / 32;
  const slot = (b: number): number => (b % UNIT) * (B / UNIT) + Math.floor(b / UNIT);
  const digit = (i: number): number => {
    const [t, p, half] = [Math.floor(i / (8 * P * B)), Math.floor(i / (8 * B)) % P, Math.floor(i / (4 * B)) % 2];
    const s = slot(Math.floor(i / 4) % B);
    const row = ((Math.floor(t / 64) * (B / STEP) + Math.floor(s / STEP)) * P + p) * 64 + (t % 64);
    return inside(digits!)[(row * STEP + (s % STEP)) * 8 + 4 * half + (i % 4)]!;
  };
  const sum = (i: number): number => inside(sums!)[Math.floor(i / (4 * B)) * 4 * B + 4 * slot(Math.floor(i / 4) % B) + (i % 4)]!;
  return Uint32Array.from([
    ...Array.from({ length: rows * P * 8 * B }, (_, i) => digit(i)),
    ...(sums ? Array.from({ length: rows * 4 * B }, (_, i) => sum(i)) : []),
  ]);
}

/** What the subjects of `exact` share: outputs compared as words, and inputs of a linear as digits. */

import type { AwqMatrix } from "../../core/tensor.ts";
import { type Digits, digitBytes, exactDigits, tiledRows } from "../../gpu/kernels/exact/exact-digits.ts";
import { exactScaleBases } from "../../gpu/kernels/exact/exact-scale-bases.ts";
import { unitOf } from "../../gpu/kernels/layout/awq-repack.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { MATRIX_STEP } from "../../gpu/wgsl/exact-matrix-tile.ts";
import { halves } from "../cases/words.ts";
import { JUNK } from "../compare.ts";
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
  io.run(exactDigits, { K, P, unit, step, norms: step === MATRIX_STEP && P === 3 }, { x, ...made });
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
export function foundScales(
  io: Io,
  { weights, groups }: Readonly<Record<"weights" | "groups", BufferArg>>,
  matrices: readonly AwqMatrix[],
  rows: number,
): { bases: GPUBuffer; spread: number } {
  const { inFeatures: K, groupSize } = matrices[0]!;
  const bases = io.scratch("bases", 4 * rows);
  io.run(exactScaleBases, { K, rows, groupSize, unit: unitOf(groupSize) }, { weights, groups, bases, spread: io.scratch("spread", 4) });
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

/**
 * Those of rows whose norms were left instead of sums: digits, sums made of them here, exponents; JUNK where a norm is not what gpu/wgsl/exact-row.ts says.
 * Digits lie as blocks come.
 */
export function normedWords({ digits, sums, exponents }: Record<string, Uint32Array>, K: number, rows: number): Uint32Array {
  const B = K / 32;
  const words = inside(digits!);
  const made = new Int32Array(rows * B * 4);
  let right = true;
  for (let t = 0; t < rows; t++) {
    const squares = new Array<number>(K / 128).fill(0);
    for (let k = 0; k < K; k++) {
      let v = 0;
      for (const p of [2, 1, 0]) {
        const word = words[(((t * 3 + p) * 2 + ((k >> 4) & 1)) * B + (k >> 5)) * 4 + ((k >> 2) & 3)]!;
        const digit = ((word >> (8 * (k & 3))) << 24) >> 24;
        made[(t * B + (k >> 5)) * 4 + p]! += digit;
        v = 256 * v + digit;
      }
      squares[k >> 7]! += Math.ceil(Math.abs(v) / 4096) ** 2;
    }
    right &&= inside(sums!)[4 * t] === Math.floor(Math.max(...squares) / 4096) + 1;
  }
  const result = Uint32Array.from([...words, ...new Uint32Array(made.buffer), ...inside(exponents!)]);
  return right ? result : result.fill(JUNK);
}

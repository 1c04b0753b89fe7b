/** Looking for NaN and infinity in the bytes of a float tensor. */
import { dtypeBits, type FloatDType } from "../dtype.ts";

/**
 * Of a 32-bit word, one element or two: the bits of the exponents, and what added to them carries into the sign of an
 * element whose exponent is full, as NaN's and infinity's are.
 */
const words: Readonly<Record<FloatDType, readonly [exponents: number, one: number, signs: number]>> = {
  F16: [0x7c007c00, 0x04000400, 0x80008000],
  BF16: [0x7f807f80, 0x00800080, 0x80008000],
  F32: [0x7f800000, 0x00800000, 0x80000000],
};

/**
 * Index of the first NaN or infinity among the whole elements of `bytes`, which lie at `byteOffset` of their tensor; -1
 * without one.
 */
export function findNonFinite(bytes: Uint8Array, byteOffset: number, dtype: FloatDType): number {
  const width = dtypeBits[dtype] / 8;
  const first = (width - (byteOffset % width)) % width;
  const length = Math.max(0, Math.floor((bytes.length - first) / width) * width);
  // A copy of whole words: the first may begin anywhere in `bytes`, and zeros fill the last.
  const whole = new Uint8Array(Math.ceil(length / 4) * 4);
  whole.set(bytes.subarray(first, first + length));
  const exponents = words[dtype][0] | 0;
  const one = words[dtype][1] | 0;
  const signs = words[dtype][2] | 0;
  const view = new Int32Array(whole.buffer);
  for (let i = 0; i < view.length; i++) {
    if ((((view[i]! & exponents) + one) & signs) === 0) continue;
    const low = width === 4 || (((view[i]! & exponents & 0xffff) + (one & 0xffff)) & signs) !== 0;
    return (byteOffset + first + 4 * i + (low ? 0 : 2)) / width;
  }
  return -1;
}

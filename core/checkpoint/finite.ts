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
  const exponents = words[dtype][0] | 0;
  const one = words[dtype][1] | 0;
  const signs = words[dtype][2] | 0;
  if (length === 0) return -1;
  const view = wholeWords(bytes, first, length);
  // Eight words at a time: whether any is full decides if they are looked at one by one.
  for (let i = 0; i < view.length; i += 8) {
    let full = 0;
    if (i + 8 <= view.length) {
      const a = ((view[i]! & exponents) + one) | ((view[i + 1]! & exponents) + one);
      const b = ((view[i + 2]! & exponents) + one) | ((view[i + 3]! & exponents) + one);
      const c = ((view[i + 4]! & exponents) + one) | ((view[i + 5]! & exponents) + one);
      const d = ((view[i + 6]! & exponents) + one) | ((view[i + 7]! & exponents) + one);
      full = (a | b | c | d) & signs;
    } else full = signs;
    if (full === 0) continue;
    for (let j = i; j < Math.min(i + 8, view.length); j++) {
      if ((((view[j]! & exponents) + one) & signs) === 0) continue;
      const low = width === 4 || (((view[j]! & exponents & 0xffff) + (one & 0xffff)) & signs) !== 0;
      return (byteOffset + first + 4 * j + (low ? 0 : 2)) / width;
    }
  }
  return -1;
}

/** `length` bytes from `first` on as words, zeros filling the last: a view where they lie so, else a copy. */
function wholeWords(bytes: Uint8Array, first: number, length: number): Int32Array {
  const at = bytes.byteOffset + first;
  if (at % 4 === 0 && length % 4 === 0) return new Int32Array(bytes.buffer, at, length / 4);
  const whole = new Uint8Array(Math.ceil(length / 4) * 4);
  whole.set(bytes.subarray(first, first + length));
  return new Int32Array(whole.buffer);
}

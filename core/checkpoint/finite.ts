/** Looking for NaN and infinity in the bytes of a float tensor. */
import { dtypeBits, type FloatDType } from "../dtype.ts";

/** The bits of an element's exponent; NaN and infinity have all of them set. */
const exponentMask = { F16: 0x7c00, BF16: 0x7f80, F32: 0x7f800000 } as const;

/** Index of the first NaN or infinity among the whole elements of `bytes`, which lie at `byteOffset` of their tensor; -1 without one. */
export function findNonFinite(bytes: Uint8Array, byteOffset: number, dtype: FloatDType): number {
  const width = dtypeBits[dtype] / 8;
  const first = (width - (byteOffset % width)) % width;
  const count = Math.floor((bytes.length - first) / width);
  const start = bytes.byteOffset + first;
  // An array of elements must begin at a multiple of its width.
  const aligned = start % width === 0 ? { buffer: bytes.buffer, start } : { buffer: bytes.slice(first).buffer, start: 0 };
  const elements =
    width === 2 ? new Uint16Array(aligned.buffer, aligned.start, count) : new Uint32Array(aligned.buffer, aligned.start, count);
  const mask = exponentMask[dtype];
  for (let i = 0; i < count; i++) if ((elements[i]! & mask) === mask) return (byteOffset + first) / width + i;
  return -1;
}

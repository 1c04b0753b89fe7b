/** Memory for one kernel call: parts taken one after the other from a bank's frame, and rows of x laid out as kernels want them. */
import { GureumError } from "../core/errors.ts";
import { FOUR } from "./kernels/tile-product.ts";
import { aligned, type Bank } from "./memory/bank.ts";

/** Views of a bank's whole memory; made once, since a bank never grows. */
interface Views {
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i16: Int16Array;
  readonly i32: Int32Array;
  readonly bytes: Uint8Array;
}
const viewsOfBuffers = new WeakMap<ArrayBufferLike, Views>();

export function viewsOf({ buffer }: Bank): Views {
  let views = viewsOfBuffers.get(buffer);
  if (!views) {
    views = {
      f32: new Float32Array(buffer),
      f64: new Float64Array(buffer),
      i16: new Int16Array(buffer),
      i32: new Int32Array(buffer),
      bytes: new Uint8Array(buffer),
    };
    viewsOfBuffers.set(buffer, views);
  }
  return views;
}

/** Takes parts of a frame, from its beginning. */
export interface Frame {
  /** The address of `byteLength` bytes, 64-byte aligned. @throws GureumError "limit" where the frame has no such room left */
  take(byteLength: number): number;
}

export function frameOf(bank: Bank): Frame {
  let at = bank.frame;
  return {
    take(byteLength) {
      const address = at;
      at += aligned(byteLength);
      if (at > bank.end)
        throw new GureumError("limit", {
          where: "cpu",
          what: "bytes in a frame",
          expected: `at most ${bank.end - bank.frame}`,
          got: `${at - bank.frame}`,
        });
      return address;
    },
  };
}

/** Bytes of T rows of K by fours. */
export const foursBytes = (T: number, K: number): number => 8 * FOUR * Math.ceil(T / FOUR) * K;

/** Rows first … first + T − 1 of x [·, K] times `factor`, as f64 by fours [T/4, K, 4] (kernels/tile-product.ts). */
export function writeFours(bank: Bank, address: number, x: Float32Array, first: number, T: number, K: number, factor: number): void {
  const { f64 } = viewsOf(bank);
  for (let t = 0; t < T; t++) {
    const from = (first + t) * K;
    const to = address / 8 + (t - (t % FOUR)) * K + (t % FOUR);
    for (let k = 0; k < K; k++) f64[to + k * FOUR] = x[from + k]! * factor;
  }
}

/** T = 1: row `first` of x as f64, one number after the other. */
export function writeRow(bank: Bank, address: number, x: Float32Array, first: number, K: number): void {
  const { f64 } = viewsOf(bank);
  const from = first * K;
  const to = address / 8;
  for (let k = 0; k < K; k++) f64[to + k] = x[from + k]!;
}

/** Copies f32 numbers into a bank. */
export function writeSingles(bank: Bank, address: number, x: Float32Array): void {
  viewsOf(bank).f32.set(x, address / 4);
}

/** Copies `length` f32 numbers out of a bank. */
export function readSingles(bank: Bank, address: number, out: Float32Array, offset: number, length: number): void {
  const { f32 } = viewsOf(bank);
  if (length < 64) for (let i = 0; i < length; i++) out[offset + i] = f32[address / 4 + i]!;
  else out.set(f32.subarray(address / 4, address / 4 + length), offset);
}

/**
 * What an instruction leaves on WebAssembly's stack: its type, and the bytes that put it there. Instructions (instructions.ts) take
 * values and give values, so TypeScript checks a kernel's types before WebAssembly does.
 * Source: WebAssembly Core Specification 2.0, 5.2 (values) and 5.3 (types).
 */

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";

export interface Value<T extends ValueType> {
  readonly type: T;
  /** Instructions that leave the value on the stack. */
  readonly code: readonly number[];
}

/** A parameter or variable of a function; as a value, what it holds. */
export interface Local<T extends ValueType> extends Value<T> {
  readonly index: number;
}

export const typeByte: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** LEB128 of a whole number from 0 to 2^32 − 1. */
export function unsigned(n: number): number[] {
  const bytes: number[] = [];
  let rest = n;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

/** LEB128 of a signed integer of up to 64 bits. */
export function signed(n: bigint): number[] {
  const bytes: number[] = [];
  let rest = n;
  for (;;) {
    const low = Number(rest & 127n);
    rest >>= 7n;
    if ((rest === 0n && low < 64) || (rest === -1n && low >= 64)) return [...bytes, low];
    bytes.push(low | 128);
  }
}

/** Length, then the bytes. */
export const sized = (bytes: readonly number[]): number[] => [...unsigned(bytes.length), ...bytes];

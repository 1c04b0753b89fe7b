/**
 * Banks: WebAssembly memories of at most 4 GiB that hold operands and, at their end, a frame for what a kernel call needs besides: x, out
 * and scratch. A kernel sees one bank, so what it uses together lies in one. Arrays are views of a bank; the bank of an array is found by
 * its buffer. Pages that nobody has written take no memory, so a frame costs what is used of it.
 */
import { GureumError } from "../../core/errors.ts";
import { type KernelFunction, maxMemoryBytes, pageBytes, type Wasm, type WasmMemory } from "../host.ts";

export interface Bank {
  /** Which one it is, for threads. */
  readonly id: number;
  readonly memory: WasmMemory;
  readonly buffer: ArrayBufferLike;
  /** The frame's first byte and the first after it. */
  readonly frame: number;
  readonly end: number;
  /** The kernels over this memory, on this thread. */
  readonly kernels: Readonly<Record<string, KernelFunction>>;
}

/** Loads are up to 64 bytes wide and may reach behind the last operand. */
const padBytes = 256;
export const aligned = (byteLength: number): number => Math.ceil(byteLength / 64) * 64;

let count = 0;

/** @throws GureumError "out-of-memory", "limit" where operands and frame exceed 4 GiB */
export function makeBank(wasm: Wasm, operandBytes: number, frameBytes: number, where: string): Bank {
  const frame = aligned(operandBytes) + padBytes;
  const end = Math.ceil((frame + aligned(frameBytes) + padBytes) / pageBytes) * pageBytes;
  if (end > maxMemoryBytes)
    throw new GureumError("limit", {
      where,
      what: "bytes in one memory",
      expected: `at most ${maxMemoryBytes}`,
      got: `${end}`,
      remedy: "compute on a GPU, or in JavaScript (ops)",
    });
  const memory = wasm.makeMemory(end, where);
  return { id: count++, memory, buffer: memory.buffer, frame, end: end - padBytes, kernels: wasm.instantiate(memory) };
}

/** Operands, in as few banks as hold them: byteLengths handed over together lie in one bank, side by side, 64-byte aligned. */
export interface Placement {
  allocate(byteLengths: readonly number[]): Uint8Array[];
  readonly banks: readonly Bank[];
}

/** Room for `totalBytes` of operands in all, at most `arrays` of them, each bank with a frame of `frameBytes`. */
export function makePlacement(wasm: Wasm, totalBytes: number, arrays: number, frameBytes: number, where: string): Placement {
  const banks: Bank[] = [];
  let free = 0;
  let left = totalBytes + 64 * arrays;
  const most = maxMemoryBytes - aligned(frameBytes) - 3 * padBytes - pageBytes;
  return {
    banks,
    allocate(byteLengths) {
      const needed = byteLengths.reduce((sum, bytes) => sum + aligned(bytes), 0);
      let bank = banks.at(-1);
      if (!bank || free + needed > bank.frame - padBytes) {
        bank = makeBank(wasm, Math.max(needed, Math.min(left, most)), frameBytes, where);
        banks.push(bank);
        free = 0;
      }
      left -= needed;
      const { buffer } = bank;
      return byteLengths.map((bytes) => {
        const view = new Uint8Array(buffer, free, bytes);
        free += aligned(bytes);
        return view;
      });
    },
  };
}

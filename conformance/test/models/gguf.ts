/**
 * Reads GGUF, version 3, little-endian: metadata, tensors, and exact values of the types F32, Q8_0 and Q4_1. For turning published models
 * into folders that the conformance of whole models is run on; the engine itself does not read GGUF.
 * Source: ggml-org/ggml `docs/gguf.md`; `src/ggml-common.h` (block_q4_1, block_q8_0).
 */
import { f16Values } from "../../../core/dtype.ts";
import { decodeUtf8 } from "../../../core/utf8.ts";

export type GgufValue = string | number | bigint | boolean | GgufValue[];

export interface GgufTensor {
  /** Outermost axis first, as safetensors has it (GGUF writes the innermost first). */
  readonly shape: readonly number[];
  readonly type: number;
  readonly bytes: Uint8Array;
}

export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Values in a block, bytes of one; by type. */
const blocks: ReadonlyMap<number, readonly [values: number, bytes: number]> = new Map([
  [0, [1, 4]],
  [3, [32, 20]],
  [8, [32, 34]],
]);

export function parseGguf(file: Uint8Array): Gguf {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 0;
  /** Where the next `byteLength` bytes lie; they are passed. */
  const pass = (byteLength: number): number => {
    at += byteLength;
    return at - byteLength;
  };
  const u32 = (): number => view.getUint32(pass(4), true);
  const u64 = (): number => Number(view.getBigUint64(pass(8), true));
  const text = (): string => {
    const length = u64();
    const start = pass(length);
    return decodeUtf8(file.subarray(start, start + length));
  };
  const value = (type: number): GgufValue => {
    switch (type) {
      case 0:
        return view.getUint8(pass(1));
      case 1:
        return view.getInt8(pass(1));
      case 2:
        return view.getUint16(pass(2), true);
      case 3:
        return view.getInt16(pass(2), true);
      case 4:
        return u32();
      case 5:
        return view.getInt32(pass(4), true);
      case 6:
        return view.getFloat32(pass(4), true);
      case 7:
        return view.getUint8(pass(1)) !== 0;
      case 8:
        return text();
      case 9: {
        const element = u32();
        return Array.from({ length: u64() }, () => value(element));
      }
      case 10:
        return view.getBigUint64(pass(8), true);
      case 11:
        return view.getBigInt64(pass(8), true);
      case 12:
        return view.getFloat64(pass(8), true);
      default:
        throw new Error(`GGUF: a value of type ${type} at ${at}`);
    }
  };
  if (decodeUtf8(file.subarray(0, 4)) !== "GGUF" || view.getUint32(4, true) !== 3) throw new Error("not a GGUF file of version 3");
  at = 8;
  const tensorCount = u64();
  const metadata = new Map<string, GgufValue>();
  for (let count = u64(); count > 0; count--) {
    const key = text();
    metadata.set(key, value(u32()));
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const alignment = Number(metadata.get("general.alignment") ?? 32);
  const start = Math.ceil(at / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, shape, type, offset } of infos) {
    const block = blocks.get(type);
    if (block === undefined) throw new Error(`GGUF: ${name} has type ${type}, which is not read here`);
    const byteLength = (shape.reduce((product, size) => product * size, 1) / block[0]) * block[1];
    tensors.set(name, { shape, type, bytes: file.subarray(start + offset, start + offset + byteLength) });
  }
  return { metadata, tensors };
}

/**
 * Values of a tensor in f32. Q4_1, 32 values a block: d and m in f16, then 16 bytes, of which the low nibbles are values 0 to 15 and the
 * high ones 16 to 31; value = q · d + m, where q · d is exact in f32 and the sum is rounded once. Q8_0: d in f16, 32 signed bytes; q · d is exact.
 */
export function ggufValues({ type, bytes }: GgufTensor): Float32Array<ArrayBuffer> {
  if (type === 0) return new Float32Array(new Uint8Array(bytes).buffer);
  const f16 = f16Values();
  const [size, blockBytes] = blocks.get(type)!;
  const values = new Float32Array((bytes.length / blockBytes) * size);
  const half = (at: number): number => f16[bytes[at]! | (bytes[at + 1]! << 8)]!;
  for (let block = 0; block * blockBytes < bytes.length; block++) {
    const from = block * blockBytes;
    const to = block * size;
    const d = half(from);
    if (type === 8) for (let i = 0; i < 32; i++) values[to + i] = ((bytes[from + 2 + i]! << 24) >> 24) * d;
    else {
      const m = half(from + 2);
      for (let i = 0; i < 16; i++) {
        const byte = bytes[from + 4 + i]!;
        values[to + i] = (byte & 15) * d + m;
        values[to + 16 + i] = (byte >> 4) * d + m;
      }
    }
  }
  return values;
}

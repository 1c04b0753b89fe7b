/**
 * A checkpoint's tensors as JavaScript's numbers. f16 ones come in the host's Float16Array, or in one with the same
 * methods where it has none.
 */
import { Float16Array as OwnFloat16Array } from "@petamoriken/float16";
import type { ByteStore } from "./core/checkpoint/byte-source.ts";
import { allocateBytes } from "./core/checkpoint/safetensors.ts";
import { openTensors, readTensorInto } from "./core/checkpoint/shards.ts";
import { type DType, widenFloats } from "./core/dtype.ts";
import { GureumError } from "./core/errors.ts";

/** BF16 widened to f32 (exact); the types that JavaScript has no array for (F8, F6, F4) as bytes; BOOL as 0 and 1. */
export type TensorArray =
  | import("@petamoriken/float16").Float16Array
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** A tensor's values. */
export interface TensorValues {
  /** As stored. */
  readonly dtype: DType;
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: TensorArray;
}

/** Tensors of a checkpoint, read one at a time. */
export interface TensorReader {
  /** All there are. */
  readonly names: readonly string[];
  /** A tensor by its name. @throws GureumError "missing-tensor", "io", "out-of-memory" */
  read(name: string): Promise<TensorValues>;
  /** Closes the files. */
  close(): Promise<void>;
}

const hostFloat16Array = (globalThis as { Float16Array?: typeof OwnFloat16Array }).Float16Array ?? OwnFloat16Array;

function arrayOf(dtype: DType, buffer: ArrayBuffer): TensorArray {
  switch (dtype) {
    case "F16":
      return new hostFloat16Array(buffer);
    case "BF16":
      return widenFloats(buffer, dtype);
    case "F32":
    case "C64":
      return new Float32Array(buffer);
    case "F64":
      return new Float64Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I64":
      return new BigInt64Array(buffer);
    case "U64":
      return new BigUint64Array(buffer);
    default:
      return new Uint8Array(buffer);
  }
}

/** @throws GureumError as `openTensors` of core/checkpoint/shards.ts */
export async function openTensorsOf(store: ByteStore): Promise<TensorReader> {
  const { tensors, close } = await openTensors(store);
  return {
    names: [...tensors.keys()],
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw new GureumError("missing-tensor", { where: store.name, what: `no tensor ${JSON.stringify(name)}` });
      const { dtype, shape, byteLength } = tensor.info;
      const bytes = allocateBytes(byteLength, name);
      await readTensorInto(tensor, 0, bytes);
      return { dtype, shape, data: arrayOf(dtype, bytes.buffer) };
    },
    close,
  };
}

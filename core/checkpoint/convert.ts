/**
 * References whose bytes are made while they are read: a stored tensor of some layout as AWQ's words, scales of another
 * float as f16. A tensor is read and turned whole, kept while it is handed out, and dropped with its last byte; so one
 * matrix of the model is in memory at a time.
 */
import { type FloatDType, f16Bits, f16Values, widenFloats } from "../dtype.ts";
import { GureumError, withinAsync } from "../errors.ts";
import { quote } from "../json.ts";
import type { TensorRef } from "../model/weights.ts";
import type { Int4Shape, StoredScales, StoredWords } from "./layouts/layout.ts";
import { allocateBytes } from "./safetensors.ts";

/** How many scales f16 does not hold, and in how many tensors: these are rounded to the nearest. */
export interface Rounding {
  /** Scales that were rounded. */
  numbers: number;
  /** Tensors that they lie in. */
  tensors: number;
}

const placeOf = ({ place, key }: TensorRef): string => place ?? quote(key);

async function readWhole(ref: TensorRef): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = allocateBytes(ref.byteLength, ref.key);
  await ref.readInto(0, bytes);
  return bytes;
}

function madeRef(key: string, place: string, dtype: "I32" | "F16", shape: readonly number[], make: () => Promise<Uint8Array>): TensorRef {
  const byteLength = shape.reduce((product, size) => product * size, dtype === "I32" ? 4 : 2);
  let made: Promise<Uint8Array> | undefined;
  return {
    key,
    dtype,
    shape,
    byteLength,
    place,
    async readInto(byteOffset, target) {
      made ??= withinAsync(place, make);
      const bytes = await made;
      const end = byteOffset + target.length;
      if (byteOffset < 0 || end > byteLength)
        throw new GureumError("range", {
          where: place,
          what: "read outside the tensor",
          expected: `at most ${byteLength} bytes`,
          got: `${end}`,
        });
      target.set(bytes.subarray(byteOffset, end));
      if (end === byteLength) made = undefined;
    },
  };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Uint16Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Words of a layout as AWQ's, [.., N/8] of `awqShape`; `checks` are read first. `checkWords`: of what they become, which `check` then makes. */
export function convertedWords(
  stored: TensorRef,
  { toAwq }: StoredWords,
  shape: Int4Shape,
  awqShape: readonly number[],
  checks: readonly { readonly ref: TensorRef; readonly check: (bytes: Uint8Array) => void }[] = [],
  checkWords?: (words: Int32Array) => void,
): TensorRef {
  if (toAwq === "as stored" || stored.byteLength === 0) return stored;
  const checkOthers = async (): Promise<void> => {
    for (const { ref, check: checkContent } of checks) {
      const bytes = await readWhole(ref);
      await withinAsync(placeOf(ref), async () => checkContent(bytes));
    }
  };
  const make = async (): Promise<Uint8Array> => {
    const bytes = await readWhole(stored);
    const words = toAwq(new Int32Array(bytes.buffer), shape);
    checkWords?.(words);
    return bytesOf(words);
  };
  const made = madeRef(stored.key, placeOf(stored), "I32", awqShape, make);
  return {
    ...made,
    async check() {
      await checkOthers();
      if (checkWords) await withinAsync(placeOf(stored), make);
    },
    async readInto(byteOffset, target) {
      if (byteOffset === 0) await checkOthers();
      await made.readInto(byteOffset, target);
    },
  };
}

/** 8 in every nibble: the zero points of a symmetric layout that stores none. */
export function repeatedZeros(key: string, { N, groups }: Int4Shape): TensorRef {
  return madeRef(key, quote(key), "I32", [groups, N / 8], async () => new Uint8Array((groups * N) / 2).fill(0x88));
}

/**
 * AWQ's words of zero points that the config calls symmetric must be 8: some engines read others then, some (vLLM's Marlin kernels for
 * GPTQ) do not.
 * @throws GureumError "unsupported"
 */
export function checkSymmetric(words: Int32Array): void {
  if (words.some((word) => word !== (0x88888888 | 0)))
    throw new GureumError("unsupported", {
      what: "zero points other than 8, though the config says symmetric",
      remedy: "set sym (symmetric) to false if they are meant; if all are 9, checkpoint_format to gptq_v2",
    });
}

/**
 * Scales [groups, N] in f16. Those that are not numbers of f16 are rounded to the nearest, and counted.
 * @throws GureumError, when read, "range" for a scale beyond f16
 */
export function convertedScales(stored: TensorRef, { transposed }: StoredScales, { N, groups }: Int4Shape, rounding: Rounding): TensorRef {
  if ((stored.dtype === "F16" && !transposed) || stored.byteLength === 0) return stored;
  return madeRef(stored.key, placeOf(stored), "F16", [groups, N], async () => {
    const bytes = await readWhole(stored);
    const values = stored.dtype === "F16" ? null : widenFloats(bytes.buffer, stored.dtype as FloatDType);
    const bits = values ? roundScales(values, rounding) : new Uint16Array(bytes.buffer);
    if (!transposed) return bytesOf(bits);
    const out = new Uint16Array(bits.length);
    for (let n = 0; n < N; n++) for (let g = 0; g < groups; g++) out[g * N + n] = bits[n * groups + g]!;
    return bytesOf(out);
  });
}

function roundScales(values: Float32Array, rounding: Rounding): Uint16Array {
  const f16 = f16Values();
  let inexact = 0;
  const bits = Uint16Array.from(values, (value, i) => {
    const nearest = f16Bits(value);
    if (f16[nearest] === value) return nearest;
    if (!Number.isFinite(f16[nearest]!))
      throw new GureumError("range", {
        what: `scale at element ${i}`,
        expected: "at most 65504 (f16)",
        got: `${value}`,
        remedy: "take another int4 release of the model",
      });
    inexact++;
    return nearest;
  });
  rounding.numbers += inexact;
  if (inexact > 0) rounding.tensors++;
  return bits;
}

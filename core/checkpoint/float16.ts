/** Float tensors as float16, converted while they are written. */
import { type FloatDType, f16Bits, f16Values, widenFloats } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import { quote } from "../json.ts";
import type { TensorRef } from "../model/weights.ts";
import type { Rounding } from "./convert.ts";
import type { TensorEntry } from "./safetensors.ts";

/** Bytes read at a time. */
const PART = 4 * 2 ** 20;

/** Bits of the nearest binary16 numbers. @throws GureumError "range" beyond 65504 */
export function toFloat16(values: Float32Array, where: string, rounding?: Rounding): Uint16Array<ArrayBuffer> {
  const f16 = f16Values();
  const bits = new Uint16Array(values.length);
  let inexact = 0;
  for (let i = 0; i < values.length; i++) {
    const nearest = f16Bits(values[i]!);
    if (!Number.isFinite(f16[nearest]!))
      throw new GureumError("range", {
        where,
        what: "number beyond float16",
        expected: "at most 65504",
        got: `${values[i]}`,
        remedy: "this model needs bfloat16 or float32 there",
      });
    if (f16[nearest] !== values[i]) inexact++;
    bits[i] = nearest;
  }
  if (rounding) rounding.numbers += inexact;
  return bits;
}

/** A tensor of a checkpoint, to be written as float16 under its name or another. Numbers that float16 lacks are counted. */
export function float16Entry(ref: TensorRef, rounding: Rounding, name: string = ref.key): TensorEntry {
  const dtype = ref.dtype as FloatDType;
  async function* data(): AsyncGenerator<Uint8Array> {
    const before = rounding.numbers;
    for (let at = 0; at < ref.byteLength; at += PART) {
      const bytes = new Uint8Array(Math.min(PART, ref.byteLength - at));
      await ref.readInto(at, bytes);
      if (dtype === "F16") yield bytes;
      else yield new Uint8Array(toFloat16(widenFloats(bytes.buffer, dtype), quote(ref.key), rounding).buffer);
    }
    if (rounding.numbers > before) rounding.tensors++;
  }
  return { name, dtype: "F16", shape: ref.shape, data };
}

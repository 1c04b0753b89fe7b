/**
 * Element types of safetensors files and their widths, and exact conversion of the 16-bit floats the engine computes
 * with.
 * Source: safetensors 0.8 `safetensors/src/tensor.rs` (Dtype), IEEE 754-2019 binary16, bfloat16.
 */

/**
 * Width in bits of every dtype of the format. The sub-byte ones are only legal where a tensor's bits fill whole bytes.
 */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** What numbers a file may hold, by the names of the format. */
export type DType = keyof typeof dtypeBits;

/** Dtypes in which dense weights may be stored. */
export type FloatDType = "F32" | "F16" | "BF16";

let f16Table: Float32Array | undefined;

/** All 65,536 binary16 values as f32 (exact), indexed by their bits. Made on first use. */
export function f16Values(): Float32Array {
  if (f16Table) return f16Table;
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const magnitude =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction
            ? Number.NaN
            : Infinity
          : (1024 + fraction) * 2 ** (exponent - 25);
    table[bits] = bits & 0x8000 ? -magnitude : magnitude;
  }
  f16Table = table;
  return table;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** bfloat16 bits to their f32 value (exact). */
export function bf16Value(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratch[0]!;
}

/**
 * x to the nearest integer, ties to even, for |x| < 2^51 (IEEE 754 roundToIntegralTiesToEven by the 1.5 · 2^52 shift).
 */
export function roundHalfEven(x: number): number {
  return x + 6755399441055744 - 6755399441055744;
}

/**
 * Bits of the binary16 nearest to `value`, ties to even; overflow gives infinity, NaN gives 0x7e00. One rounding, from
 * f64.
 */
export function f16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  let exponent = 0;
  let significand = magnitude;
  while (significand >= 2) {
    significand /= 2;
    exponent++;
  }
  while (significand < 1) {
    significand *= 2;
    exponent--;
  }
  return sign | (((exponent + 15) << 10) + roundHalfEven(significand * 1024) - 1024);
}

/** Elements of a float tensor as f32, exact. F32 is a view of the same buffer. */
export function widenFloats(buffer: ArrayBuffer, dtype: FloatDType): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return new Float32Array(buffer);
  const bits = new Uint16Array(buffer);
  const table = f16Values();
  return Float32Array.from(bits, dtype === "F16" ? (b) => table[b]! : bf16Value);
}

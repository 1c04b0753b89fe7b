/**
 * Block fixed point of activations, `fixed16`: x ≈ v · 2^e, one exponent for each block of 32 along K, v an integer of
 * at most 16 bits. Own definition; the idea of block formats is old (Wilkinson, Rounding Errors in Algebraic Processes,
 * 1963, "block-floating"). Powers of two make quantization exact arithmetic: no division, one product without rounding,
 * one rounding to an integer, so every device that follows IEEE 754 for f32 products gives the same v for the same f32
 * x.
 */
import { roundHalfEven } from "../dtype.ts";
import { GureumError } from "../errors.ts";

/** Elements along K that share an exponent; the integer block sums of `fixed16` are over these. */
export const FIXED16_BLOCK = 32;
/** Largest |v|: 127 · 256, so that v = 256 hi + lo fits with hi in i8 both for lo in u8 and for lo in i8. */
export const FIXED16_MAX = 32512;

/**
 * The exponent floor: blocks whose largest |x| is below 2^(39−127) keep the step 2^−102, which is ≥ 2^−126 / 2^−24, the
 * smallest normal f32 over the smallest f16 scale: no product of the join is subnormal.
 */
const MIN_BIASED_EXPONENT = 39;

/** [T, K] activations: x[t, k] ≈ values[t, k] · scales[t, k / block]. */
export interface Fixed16 {
  readonly rows: number;
  readonly inFeatures: number;
  readonly block: number;
  /** [T, K], |v| ≤ FIXED16_MAX */
  readonly values: Int16Array;
  /**
   * [T, K / block], powers of two, at least 2^−102; NaN for a block that holds NaN or an infinity, whose values are
   * then 0
   */
  readonly scales: Float32Array;
  /** [T, K / block]: Σ v over the block */
  readonly sums: Int32Array;
}

/**
 * v = rne(x / 2^e), 2^e = 2^(E − 141) for E = max(39, (bits(max |x|) + 0x1ffff) >> 23): the smallest step for which
 * |v| ≤ 32512 (1.984375 · 2^14) holds for the whole block. rne: to nearest, ties to even. |x − v · 2^e| ≤ 2^(e−1) < max
 * |x| / 32512 above the exponent floor.
 * @param x [T, K]
 * @param block elements that share an exponent
 * @param into arrays to fill, of the lengths that `Fixed16` says; new ones where it is not given
 * @throws GureumError "shape" where K is no multiple of `block` or x is not [T, K].
 */
export function quantizeFixed16(
  x: Float32Array,
  rows: number,
  inFeatures: number,
  block: number = FIXED16_BLOCK,
  into?: Pick<Fixed16, "values" | "scales" | "sums">,
): Fixed16 {
  if (inFeatures % block !== 0 || inFeatures === 0)
    throw new GureumError("shape", {
      where: "fixed16",
      what: "inner dimension",
      expected: `a multiple of ${block}`,
      got: String(inFeatures),
    });
  if (x.length !== rows * inFeatures)
    throw new GureumError("shape", { where: "fixed16", what: "elements", expected: String(rows * inFeatures), got: String(x.length) });
  const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
  const blocks = (rows * inFeatures) / block;
  const { values, scales, sums } = into ?? {
    values: new Int16Array(x.length),
    scales: new Float32Array(blocks),
    sums: new Int32Array(blocks),
  };
  for (let b = 0; b < blocks; b++) {
    const start = b * block;
    let largest = 0;
    for (let i = start; i < start + block; i++) largest = Math.max(largest, bits[i]! & 0x7fffffff);
    if (largest >= 0x7f800000) {
      scales[b] = Number.NaN;
      values.fill(0, start, start + block);
      sums[b] = 0;
      continue;
    }
    const exponent = Math.max(MIN_BIASED_EXPONENT, (largest + 0x1ffff) >>> 23);
    scales[b] = 2 ** (exponent - 141);
    const inverse = 2 ** (141 - exponent);
    let sum = 0;
    for (let i = start; i < start + block; i++) {
      const v = roundHalfEven(x[i]! * inverse);
      values[i] = v;
      sum += v;
    }
    sums[b] = sum;
  }
  return { rows, inFeatures, block, values, scales, sums };
}

/** x̂ = v · 2^e, exact in f32 (16 bits). [T, K] */
export function dequantizeFixed16(a: Fixed16): Float32Array {
  const x = new Float32Array(a.values.length);
  for (let i = 0; i < x.length; i++) x[i] = a.values[i]! * a.scales[Math.floor(i / a.block)]!;
  return x;
}

/**
 * Both digits signed, hi = (v + 128) >> 8, lo = v − 256 hi, as products of i8 want them (gpu/wgsl/digits.ts): block
 * after block, its hi bytes, k ascending, then its lo bytes. [T, K / block, 2, block]
 */
export function signedFixed16Digits({ values, block }: Fixed16): Int8Array {
  const out = new Int8Array(2 * values.length);
  values.forEach((v, i) => {
    const at = 2 * block * Math.floor(i / block) + (i % block);
    out[at] = (v + 128) >> 8;
    out[at + block] = v; // its low byte
  });
  return out;
}

/**
 * The digits the GPU multiplies: v = 256 hi + lo, hi = v >> 8 (i8), lo = v & 255 (u8), packed four k a word, k
 * ascending from the low byte. Four planes of [K/32] vec4<u32>: hi words 0..3, hi words 4..7, lo words 0..3, lo words
 * 4..7. One row.
 */
export function packFixed16Digits(a: Fixed16, row: number): Uint32Array {
  const blocks = a.inFeatures / FIXED16_BLOCK;
  const out = new Uint32Array(16 * blocks);
  for (let k = 0; k < a.inFeatures; k++) {
    const v = a.values[row * a.inFeatures + k]!;
    const word = (k % 32) >> 2;
    const at = 4 * ((word >> 2) * blocks + Math.floor(k / 32)) + (word & 3);
    const shift = 8 * (k & 3);
    out[at]! |= ((v >> 8) & 255) << shift;
    out[at + 8 * blocks]! |= (v & 255) << shift;
  }
  return out;
}

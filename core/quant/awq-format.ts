/**
 * The AWQ GEMM layout: eight int4 columns in an int32 word, scales and zero points per group of rows; packing and exact
 * dequantization. Source: AutoAWQ 0.2.9 `awq/modules/linear/gemm.py`, `awq/utils/packing_utils.py`. Rounding to it is in
 * search/grid.ts.
 */
import { f16Bits, f16Values } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import type { AwqMatrix } from "../tensor.ts";

/** Column, within a word's eight, of nibble i (bits 4i..4i+3). */
export const columnOfNibble: readonly number[] = [0, 2, 4, 6, 1, 3, 5, 7];
/** Shift, in bits, of column j of a word's eight: the inverse order, times 4. */
export const shiftOfColumn: readonly number[] = [0, 16, 4, 20, 8, 24, 12, 28];

/**
 * Integers 0..15 [rows, cols] to words [rows, cols/8]. Rows need no telling: cols is a multiple of 8, so words never
 * straddle them.
 * @throws GureumError "shape" where the length is no multiple of 8, "range" for a value over 15.
 */
export function packNibbles(values: Uint8Array): Int32Array {
  if (values.length % 8 !== 0)
    throw new GureumError("shape", { what: "values to pack", expected: "a multiple of 8", got: `${values.length}` });
  const words = new Int32Array(values.length / 8);
  for (let c = 0; c < words.length; c++) {
    let word = 0;
    for (let j = 0; j < 8; j++) {
      const value = values[8 * c + j]!;
      if (value > 15) throw new GureumError("range", { where: `value ${8 * c + j}`, what: "int4", expected: "0 to 15", got: `${value}` });
      word |= value << shiftOfColumn[j]!;
    }
    words[c] = word;
  }
  return words;
}

/** Words [rows, cols/8] to integers 0..15 [rows, cols]. */
export function unpackNibbles(words: Int32Array): Uint8Array {
  const values = new Uint8Array(words.length * 8);
  for (let c = 0; c < words.length; c++) for (let j = 0; j < 8; j++) values[8 * c + j] = (words[c]! >>> shiftOfColumn[j]!) & 15;
  return values;
}

/**
 * Checks an AWQ matrix's own lengths: K a multiple of G, N of 8, each array as long as these say.
 * @throws GureumError "shape".
 */
export function checkAwqMatrix(matrix: AwqMatrix): void {
  const { outFeatures: n, inFeatures: k, groupSize, qweight, qzeros, scales } = matrix;
  checkAwqShape(n, k, groupSize);
  const groups = k / groupSize;
  const check = (what: string, expected: number, got: number): void => {
    if (expected !== got) throw new GureumError("shape", { what: `elements of ${what}`, expected: `${expected}`, got: `${got}` });
  };
  check("qweight", (k * n) / 8, qweight.length);
  check("qzeros", (groups * n) / 8, qzeros.length);
  check("scales", groups * n, scales.length);
}

/**
 * @throws GureumError "shape" unless N is a multiple of 8 and K of the group size.
 */
export function checkAwqShape(outFeatures: number, inFeatures: number, groupSize: number): void {
  if (outFeatures <= 0 || outFeatures % 8 !== 0)
    throw new GureumError("shape", { what: "AWQ output features", expected: "a multiple of 8", got: `${outFeatures}` });
  if (groupSize <= 0 || inFeatures <= 0 || inFeatures % groupSize !== 0)
    throw new GureumError("shape", {
      what: "AWQ input features",
      expected: `a multiple of the group size ${groupSize}`,
      got: `${inFeatures}`,
    });
}

/** Calls `emit(k · N + n, (q − z) · s)` for every element; the product is exact in f32 and f64 (5 bits times 11). */
function forEachWeight(matrix: AwqMatrix, emit: (index: number, value: number) => void): void {
  checkAwqMatrix(matrix);
  const { outFeatures: n, inFeatures: k, groupSize, qweight, qzeros, scales } = matrix;
  const values = f16Values();
  const words = n / 8;
  for (let row = 0; row < k; row++) {
    const group = Math.floor(row / groupSize);
    for (let c = 0; c < words; c++) {
      const q = qweight[row * words + c]!;
      const z = qzeros[group * words + c]!;
      for (let j = 0; j < 8; j++) {
        const shift = shiftOfColumn[j]!;
        const column = 8 * c + j;
        emit(row * n + column, (((q >>> shift) & 15) - ((z >>> shift) & 15)) * values[scales[group * n + column]!]!);
      }
    }
  }
}

/**
 * W[k, n] = (q[k, n] − z[k/G, n]) · s[k/G, n], exact, [K, N].
 * @throws GureumError "shape".
 */
export function dequantize(matrix: AwqMatrix): Float32Array {
  const weights = new Float32Array(matrix.inFeatures * matrix.outFeatures);
  forEachWeight(matrix, (index, value) => {
    weights[index] = value;
  });
  return weights;
}

/**
 * The same rounded once to binary16, as bits: what AutoAWQ's `dequantize_gemm` and its kernels multiply with. [K, N]
 * @throws GureumError "shape".
 */
export function dequantizeToF16(matrix: AwqMatrix): Uint16Array {
  const weights = new Uint16Array(matrix.inFeatures * matrix.outFeatures);
  forEachWeight(matrix, (index, value) => {
    weights[index] = f16Bits(value);
  });
  return weights;
}

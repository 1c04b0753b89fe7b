/**
 * The grid that a group of weights is rounded to: 2^bits values (q − z) · s, s a binary16 number, z and q integers of
 * 0 … 2^bits − 1. Source: AutoAWQ 0.2.9 `awq/quantize/quantizer.py` (pseudo_quantize_tensor with zero points).
 */
import { f16Bits, f16Values, roundHalfEven } from "../../dtype.ts";
import { GureumError } from "../../errors.ts";
import type { AwqMatrix } from "../../tensor.ts";
import { checkAwqShape, packNibbles, unpackNibbles } from "../awq-format.ts";

/** Grids of a matrix [N, K] in groups of G inputs, [N, K/G] each. */
export interface Grids {
  /** Of an integer. */
  readonly bits: number;
  /** G: inputs that share a scale. */
  readonly groupSize: number;
  /** Values of binary16 numbers. */
  readonly scales: Float64Array;
  /** Zero points. */
  readonly zeros: Uint8Array;
}

/** The smallest range a group has: below it the scale is that of a range of 1e-5. */
const LEAST_RANGE = 1e-5;

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** The nearest binary16 number. @throws GureumError "range" beyond 65504 */
export function f16Scale(scale: number): number {
  const rounded = f16Values()[f16Bits(scale)]!;
  if (!Number.isFinite(rounded))
    throw new GureumError("range", {
      where: "quantize",
      what: "scale of a group of weights",
      expected: "at most 65504 (f16)",
      got: `${scale}`,
      remedy: "look for a damaged weight there, or leave this model in bfloat16 or float32",
    });
  return rounded;
}

/** z = clamp(−round(min / s), 0, 2^bits − 1) */
export const zeroOf = (min: number, scale: number, top: number): number =>
  clamp(-roundHalfEven(clamp(min / scale, -2 * top, 2 * top)), 0, top);

/** q of one weight: clamp(round(w / s) + z, 0, 2^bits − 1), ties to even. */
export const roundToGrid = (w: number, scale: number, zero: number, top: number): number =>
  clamp(roundHalfEven(clamp(w / scale, -4 * top, 4 * top)) + zero, 0, top);

/** What each group's grid has to reach from and to: [low, high] of each group, [N, K/G] each. */
export interface Ranges {
  /** From. */
  readonly low: Float64Array;
  /** To. */
  readonly high: Float64Array;
}

/** Smallest and largest weight of each group of W [N, K]. @throws GureumError "non-finite" */
export function rangesOf(W: Float32Array, N: number, K: number, groupSize: number): Ranges {
  const groups = K / groupSize;
  const low = new Float64Array(N * groups);
  const high = new Float64Array(N * groups);
  for (let g = 0; g < N * groups; g++) {
    let min = Infinity;
    let max = -Infinity;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) {
      const w = W[i]!;
      if (!Number.isFinite(w))
        throw new GureumError("non-finite", { where: `row ${Math.floor(i / K)}, input ${i % K}`, what: "weight", got: `${w}` });
      if (w < min) min = w;
      if (w > max) max = w;
    }
    low[g] = min;
    high[g] = max;
  }
  return { low, high };
}

/**
 * The scale of a grid from `low` to `high`: f16(max(high⁺ − low⁻, 1e-5) / top), top = 2^bits − 1, high⁺ = max(high, 0), low⁻ = min(low, 0):
 * zero points lie on the grid, so it reaches to 0 where all weights have one sign (AutoAWQ's does not, and cuts such a group off).
 * @throws as f16Scale
 */
export const scaleFor = (low: number, high: number, top: number): number =>
  f16Scale(Math.max(Math.max(high, 0) - Math.min(low, 0), LEAST_RANGE) / top);

/**
 * The grids within the given ranges.
 * @throws GureumError "range" where a scale is beyond binary16
 */
export function gridsOf({ low, high }: Ranges, bits: number, groupSize: number): Grids {
  const top = 2 ** bits - 1;
  const scales = low.map((min, g) => scaleFor(min, high[g]!, top));
  const zeros = Uint8Array.from(low, (min, g) => zeroOf(min, scales[g]!, top));
  return { bits, groupSize, scales, zeros };
}

/** Every weight to the nearest value of its group's grid: q [N, K]. */
export function roundToNearest(W: ArrayLike<number>, { bits, groupSize, scales, zeros }: Grids): Uint8Array {
  const top = 2 ** bits - 1;
  const q = new Uint8Array(W.length);
  for (let g = 0; g < scales.length; g++) {
    const scale = scales[g]!;
    const zero = zeros[g]!;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) q[i] = roundToGrid(W[i]!, scale, zero, top);
  }
  return q;
}

/** (q − z) · s, exact in f32: [N, K]. */
export function valuesOf(q: Uint8Array, { groupSize, scales, zeros }: Grids): Float32Array {
  const values = new Float32Array(q.length);
  for (let g = 0; g < scales.length; g++) {
    const scale = scales[g]!;
    const zero = zeros[g]!;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) values[i] = (q[i]! - zero) * scale;
  }
  return values;
}

/** Integers [N, K] and grids [N, K/G] as AutoAWQ's words; fewer than four bits leave the upper values unused. */
export function packLinear(q: Uint8Array, { scales, zeros, groupSize }: Grids, N: number, K: number): AwqMatrix {
  const groups = K / groupSize;
  const transposed = new Uint8Array(N * K);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) transposed[k * N + n] = q[n * K + k]!;
  const z = new Uint8Array(N * groups);
  const s = new Uint16Array(N * groups);
  for (let n = 0; n < N; n++)
    for (let g = 0; g < groups; g++) {
      z[g * N + n] = zeros[n * groups + g]!;
      s[g * N + n] = f16Bits(scales[n * groups + g]!);
    }
  return { kind: "awq", outFeatures: N, inFeatures: K, groupSize, qweight: packNibbles(transposed), qzeros: packNibbles(z), scales: s };
}

/** What packLinear packed: integers [N, K] and grids [N, K/G]. */
export function unpackLinear(
  { outFeatures: N, inFeatures: K, groupSize, qweight, qzeros, scales }: AwqMatrix,
  bits: number,
): { q: Uint8Array; grids: Grids } {
  const groups = K / groupSize;
  const f16 = f16Values();
  const turned = (words: Int32Array, rows: number): Uint8Array => {
    const values = unpackNibbles(words);
    const out = new Uint8Array(values.length);
    for (let r = 0; r < rows; r++) for (let n = 0; n < N; n++) out[n * rows + r] = values[r * N + n]!;
    return out;
  };
  const s = new Float64Array(N * groups);
  for (let g = 0; g < groups; g++) for (let n = 0; n < N; n++) s[n * groups + g] = f16[scales[g * N + n]!]!;
  return { q: turned(qweight, K), grids: { bits, groupSize, scales: s, zeros: turned(qzeros, groups) } };
}

/**
 * Plain rounding of a linear's weight [N, K] to AWQ int4. Where a group's range holds 0, |W − w| ≤ s/2 + max(0, max −
 * min − 15 s): half a step, and what rounding s to f16 leaves uncovered. Groups on one side of 0 lose more, as in
 * AutoAWQ: z is clamped.
 * @throws GureumError "shape", "non-finite" for NaN or infinity in the weight, "range" where a scale overflows f16.
 */
export function quantize(weight: Float32Array, outFeatures: number, inFeatures: number, groupSize: number): AwqMatrix {
  checkAwqShape(outFeatures, inFeatures, groupSize);
  if (weight.length !== outFeatures * inFeatures)
    throw new GureumError("shape", { what: "elements of the weight", expected: `${outFeatures * inFeatures}`, got: `${weight.length}` });
  const grids = gridsOf(rangesOf(weight, outFeatures, inFeatures, groupSize), 4, groupSize);
  return packLinear(roundToNearest(weight, grids), grids, outFeatures, inFeatures);
}

/**
 * Dense tables on the GPU: rows of 32-bit words, each row padded to a whole word, in the checkpoint's own dtype. f16
 * and bf16 are widened where they are read (exactly), so that no kernel needs shader-f16 and no widened copy exists.
 */
import type { FloatDType } from "../../core/dtype.ts";

/** Value of the override DTYPE. */
export const dtypeCode: Readonly<Record<FloatDType, number>> = { F32: 0, F16: 1, BF16: 2 };

/** Words of a row of K elements. */
export const rowWords = (dtype: FloatDType, K: number): number => (dtype === "F32" ? K : Math.ceil(K / 2));

/**
 * `widen(word)`: the elements 2i and 2i + 1 that a word holds; for F32 the one it is, twice. `PER_WORD`: how many those
 * are.
 */
export const denseWgsl = /* wgsl */ `override DTYPE: u32 = 0u; // 0: f32, 1: f16, 2: bf16
override PER_WORD: u32 = select(2u, 1u, DTYPE == 0u);
fn widen(word: u32) -> vec2<f32> {
  if (DTYPE == 0u) { return vec2(bitcast<f32>(word)); }
  if (DTYPE == 1u) { return unpack2x16float(word); }
  return vec2(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}`;

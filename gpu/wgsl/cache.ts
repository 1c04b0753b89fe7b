/**
 * How keys and values lie in their cache: [positions, G, Hd], f32 or f16 (two a word, rounded as they are stored). Read
 * with plain words so that no kernel needs shader-f16.
 */
export type CacheDType = "f32" | "f16";

export const cacheBytes: Readonly<Record<CacheDType, number>> = { f32: 4, f16: 2 };

/**
 * The word in which kernels note a key or value that f16 cannot hold: 0 for none, else FIRST_NOTED − position, so that the largest of
 * two is the earlier one, as u32 and as f32. The kernel that decodes in fixed16 has no binding to spare: there the word
 * follows its queries, at an index that is also an offset of a binding.
 */
const FIRST_NOTED = 0x7f000000;
export const notedAt = (queries: number): number => Math.ceil(queries / 64) * 64;
export const notedPosition = (word: number): number | null => (word === 0 ? null : FIRST_NOTED - word);
export const notedWgsl = /* wgsl */ `const FIRST_NOTED = 0x7f000000u;`;

/** The override, and `keyAt(i)`, `valueAt(i)` for the bindings `keys` and `values`, arrays of u32. */
export const cacheOverrideWgsl = /* wgsl */ `override CACHE_F16: bool = false;`;
export const keyAtWgsl = /* wgsl */ `fn keyAt(i: u32) -> f32 {
  if (CACHE_F16) { return unpack2x16float(keys[i / 2u])[i % 2u]; }
  return bitcast<f32>(keys[i]);
}`;
export const valueAtWgsl = /* wgsl */ `fn valueAt(i: u32) -> f32 {
  if (CACHE_F16) { return unpack2x16float(values[i / 2u])[i % 2u]; }
  return bitcast<f32>(values[i]);
}`;

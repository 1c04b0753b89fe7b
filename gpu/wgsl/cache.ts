/**
 * How keys and values lie in their cache: [positions, G, Hd], f32 or f16 (two a word, rounded as they are stored). Read
 * with plain words so that no kernel needs shader-f16.
 */
export type CacheDType = "f32" | "f16";

export const cacheBytes: Readonly<Record<CacheDType, number>> = { f32: 4, f16: 2 };

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

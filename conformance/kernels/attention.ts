import { type AttentionParams, attention, maxHeadDim } from "../../gpu/kernels/plain/attention.ts";
import type { CacheDType } from "../../gpu/wgsl/cache.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, roundToF16 } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

/** A subject for each element type of the cache; one of f16 computes cases whose keys and values f16 holds. */
export const perCache = (
  subjectOf: (dtype: CacheDType, more: Partial<GpuSubject<AttentionCase>>) => AnyGpuSubject,
  name: string,
): AnyGpuSubject[] =>
  (["f32", "f16"] as const).map((dtype) =>
    subjectOf(dtype, {
      variant: `${name}-${dtype}-cache`,
      accepts: ({ shape }) => shape.Hd <= maxHeadDim,
      ...(dtype === "f16" ? { adapt: (c) => ({ ...c, k: roundToF16(c.k), v: roundToF16(c.v) }) } : {}),
    }),
  );

/** Keys and values of a case, and its shape, for a cache of `dtype`. */
export const cacheOf = (
  c: AttentionCase,
  dtype: CacheDType,
): { shape: AttentionParams; keys: ArrayBufferView; values: ArrayBufferView } => ({
  shape: { ...c.shape, dtype },
  keys: asCache(c.k, dtype),
  values: asCache(c.v, dtype),
});

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  perCache((dtype, more) => {
    const callOf = (c: AttentionCase) => {
      const { shape, ...caches } = cacheOf(c, dtype);
      return { T: c.T, start: c.start, shape, given: { q: c.q, ...caches } };
    };
    return oneCall(rig, attention, callOf, more);
  }, attention.name);

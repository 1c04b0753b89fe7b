/** Attention and its two halves, over a cache in each of its element types. */
import type { LlamaConfig } from "../../core/config.ts";
import { type AttentionParams, attention } from "../../gpu/kernels/plain/attention.ts";
import { attentionMix } from "../../gpu/kernels/plain/attention-mix.ts";
import { attentionTile, takesHeads } from "../../gpu/kernels/plain/attention-tile.ts";
import { attentionWeights } from "../../gpu/kernels/plain/attention-weights.ts";
import { cacheBytes } from "../../gpu/wgsl/cache.ts";
import { keysSeen, type Measured, pairsSeen, startOf, type Work, work } from "../measured.ts";
import type { Holdings } from "../operands.ts";

/**
 * A case for each element type of the cache; `caches`: 2 for keys and values, 1 for either and the attention weights.
 */
const perCache = <Buffers extends string>(
  caches: 1 | 2,
  names: readonly Buffers[],
): ((config: LlamaConfig, T: number) => Measured<Buffers, AttentionParams>[]) => {
  return ({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window, ...config }, T) => {
    const start = startOf(config as LlamaConfig, T);
    const others = caches === 2 ? 2 * Hd : Hd + start + T;
    return (["f32", "f16"] as const).map((dtype) => ({
      step: `S=${start + T}`,
      variant: `cache-${dtype}`,
      start,
      shape: { H, G, Hd, window, dtype },
      holds: Object.fromEntries(names.map((name) => [name, { own: dtype }])) as Holdings<Buffers>,
      bytes: caches * keysSeen(T, start, window) * G * Hd * cacheBytes[dtype] + T * H * others * 4,
      operations: 2 * caches * H * Hd * pairsSeen(T, start, window),
      arithmetic: "f32",
    }));
  };
};

export const works: readonly Work[] = [
  work(attention, perCache(2, ["keys", "values"])),
  work(
    attentionTile,
    (config, T) => (T > 1 ? perCache(2, ["keys", "values"])(config, T).filter(({ shape }) => takesHeads(shape as AttentionParams)) : []),
    "attention",
  ),
  work(attentionWeights, perCache(1, ["keys"])),
  work(attentionMix, perCache(1, ["values"])),
];

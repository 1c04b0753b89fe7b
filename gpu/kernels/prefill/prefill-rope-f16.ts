/**
 * What lies between the product of q, k, v and attention, and the cache, for T rows of a prompt (wgsl/rope-f16.ts): biases, the norm of each head of
 * q and k, RoPE; → q [T, H · HEAD] f16 · 1/√HEAD, in natural order, and k_cache, v_cache [S, G, HEAD] f16 at positions start + t. table [S,
 * HEAD/2] (cos, sin) as in rope.ts; what f16 cannot hold is clamped, and noted where it is cached (wgsl/cache.ts). HEAD a multiple of 4. Workgroup
 * memory 1 KiB. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { ROPE_F16_BYTES, type RopeF16Shape, ropeF16Call, ropeF16Sizes, ropeF16Wgsl } from "../../wgsl/rope-f16.ts";

export const prefillRopeF16: Card<"y" | "table" | "q" | "k_cache" | "v_cache" | "noted" | "extras" | "step", RopeF16Shape> = makeCard({
  name: "prefill-rope-f16",
  wgsl: ropeF16Wgsl({
    binding: "var<uniform> step: Step;",
    overrides: "",
    position: "step.start + wg.x",
    cached: "position",
    slot: "0",
  }),
  workgroupBytes: ROPE_F16_BYTES,
  call: ropeF16Call,
  sizes(shape, T, start) {
    const { G, Hd } = shape;
    const cache = 2 * (start + T) * G * Hd;
    return { ...ropeF16Sizes(shape, T), table: 4 * (start + T) * Hd, k_cache: cache, v_cache: cache, noted: 4 };
  },
});

/**
 * prefill-rope-f16.ts for T rows, each the next token of a sequence of its own (wgsl/rows.ts): k and v go to position rows[t].start of slot
 * rows[t].slot of caches [slots, CAPACITY, G, HEAD] f16, which the table reaches; a position beyond f16 is noted in the slot's word of `noted`
 * (wgsl/rope-f16.ts). HEAD a multiple of 4. Workgroup memory 1 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { ROPE_F16_BYTES, type RopeF16Shape, ropeF16Call, ropeF16Sizes, ropeF16Wgsl } from "../../wgsl/rope-f16.ts";
import { rowsBindingWgsl } from "../../wgsl/rows.ts";

/** As that of prefill-rope-f16.ts; `capacity`: positions of a slot. */
export type BatchRopeF16Shape = RopeF16Shape & Readonly<{ slots: number; capacity: number }>;

export const batchRopeF16: Card<"y" | "table" | "q" | "k_cache" | "v_cache" | "noted" | "extras" | "rows", BatchRopeF16Shape> = makeCard({
  name: "batch-rope-f16",
  wgsl: ropeF16Wgsl({
    binding: rowsBindingWgsl,
    overrides: "override CAPACITY: u32 = 1024u;",
    position: "rows[wg.x].start",
    cached: "(rows[wg.x].slot * CAPACITY + position)",
    slot: "rows[wg.x].slot",
  }),
  workgroupBytes: ROPE_F16_BYTES,
  call(shape) {
    const { overrides, ...call } = ropeF16Call(shape);
    return { ...call, overrides: { ...overrides, CAPACITY: shape.capacity } };
  },
  sizes(shape, T) {
    const { G, Hd, slots, capacity } = shape;
    const cache = 2 * slots * capacity * G * Hd;
    return { ...ropeF16Sizes(shape, T), table: 4 * capacity * Hd, k_cache: cache, v_cache: cache, noted: 4 * slots };
  },
});

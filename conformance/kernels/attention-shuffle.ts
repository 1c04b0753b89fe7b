/** Attention of one row, all keys of a head by one workgroup. */
import {
  attentionShuffle,
  type ShuffleAttentionShape,
  shuffleDimensions,
  tuneShuffle,
} from "../../gpu/kernels/decode/attention-shuffle.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, fromPlanes } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { widened } from "./attention-decode.ts";

/** Lanes of a workgroup, for a shape at a position. */
type Cut = (shape: Omit<ShuffleAttentionShape, "lanes">, start: number) => ShuffleAttentionShape;

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const { capabilities } = rig.gpu;
  const dimensions = shuffleDimensions(capabilities);
  if (dimensions.length === 0) return [];
  const way = (variant: string, cut: Cut): AnyGpuSubject =>
    subject<AttentionCase>(
      attentionShuffle,
      async ({ start, shape, q, k, v }, out) => {
        const { H, Hd } = shape;
        const given = { q, k_cache: asCache(k, "f16"), v_cache: asCache(v, "f16"), out: inPlanes(new Float32Array(H * Hd)) };
        const read = await runKernel(rig, 1, start, (io) => void io.run(attentionShuffle, cut(shape, start), given));
        hand(out, fromPlanes(read.out!, H * Hd), read);
      },
      { op: "attention", variant, adapt: (c) => widened(c, 4, dimensions) },
    );
  return [
    // As a model takes it at that position.
    way(
      attentionShuffle.name,
      (shape, start) => tuneShuffle(shape, capabilities).findLast(({ positions }) => start >= positions.from)!.shape,
    ),
    // Few lanes, so that cases take many turns.
    way("attention-shuffle-64-lanes", (shape) => ({ ...shape, lanes: 64 })),
  ];
};

/** Attention of one row in splits, four heads of a kv head at once, joined by attention-combine. */
import { attentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { splitsAt } from "../../gpu/kernels/decode/attention-decode.ts";
import { attentionHeads, type HeadsAttentionShape, tuneHeads } from "../../gpu/kernels/decode/attention-heads.ts";
import { inPlanes, planeBytes } from "../../gpu/wgsl/fixed16.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, fromPlanes } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { widened } from "./attention-decode.ts";

type Cut = (shape: HeadsAttentionShape) => HeadsAttentionShape;

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const way = (variant: string, cut: Cut): AnyGpuSubject =>
    subject<AttentionCase>(
      attentionHeads,
      async ({ start, shape: { H, G, Hd, window }, q, k, v }, out) => {
        const shape = cut(tuneHeads({ H, G, Hd, window })!);
        const { keys, atOnce } = shape;
        const splits = splitsAt(start, keys, atOnce);
        const read = await runKernel(rig, 1, start, (io) => {
          const stats = io.scratch("stats", 8 * splits * H);
          const partial_ = io.scratch("partial", splits * planeBytes(H * Hd));
          io.run(attentionHeads, shape, { q, k_cache: asCache(k, "f16"), v_cache: asCache(v, "f16"), stats, out: partial_ });
          // Room for a power of two, as the engine makes it: fewer pipelines.
          const room = 2 ** Math.ceil(Math.log2(splits));
          io.run(attentionCombine, { H, Hd, keys, atOnce, splits: room }, { partial_, stats, joined: inPlanes(new Float32Array(H * Hd)) });
        });
        hand(out, fromPlanes(read.joined!, H * Hd), read);
      },
      {
        op: "attention",
        variant,
        kernels: [attentionHeads.name, attentionCombine.name],
        adapt: (c) => widened(c, 4, [128]),
        accepts: ({ shape: { H, G, Hd, window } }) => tuneHeads({ H, G, Hd, window }) !== undefined,
      },
    );
  return onMatrices(rig, attentionHeads, [
    // As a model takes it.
    way(attentionHeads.name, (shape) => shape),
    // Few splits, so that cases take many turns; and more lanes than heads have components.
    way("attention-heads-2-splits", (shape) => ({ ...shape, lanes: 256, keys: 64, atOnce: 2 })),
  ]);
};

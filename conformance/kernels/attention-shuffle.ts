/** Attention of one row, all keys of a head by one workgroup. */
import { attentionShuffle, shuffleDimensions } from "../../gpu/kernels/decode/attention-shuffle.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, fromPlanes } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { widened } from "./attention-decode.ts";

/** Lanes of a workgroup, so that cases take one turn and many. */
const LANES = [64, 256];

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const dimensions = shuffleDimensions(rig.gpu.capabilities);
  if (dimensions.length === 0) return [];
  return LANES.map((lanes) =>
    subject<AttentionCase>(
      attentionShuffle,
      async ({ start, shape: { H, G, Hd, window }, q, k, v }, out) => {
        const given = { q, k_cache: asCache(k, "f16"), v_cache: asCache(v, "f16"), out: inPlanes(new Float32Array(H * Hd)) };
        const read = await runKernel(rig, 1, start, (io) => void io.run(attentionShuffle, { H, G, Hd, window, lanes }, given));
        hand(out, fromPlanes(read.out!, H * Hd), read);
      },
      { op: "attention", variant: `attention-shuffle-${lanes}-lanes`, adapt: (c) => widened(c, 4, dimensions) },
    ),
  );
};

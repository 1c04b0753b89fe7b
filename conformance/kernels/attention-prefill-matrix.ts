import { attentionPrefillMatrix, SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { joinSplits, toHalves } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

const SPLITS = 3;

/** In `splits` of the keys, which are joined here. */
const way = (rig: Rig, splits: number): AnyGpuSubject =>
  subject<AttentionCase>(
    attentionPrefillMatrix,
    async ({ T, start, shape, q, k, v }, out) => {
      const call = { ...shape, splits };
      const sizes = attentionPrefillMatrix.sizes(call, T, start);
      const given = { q: toHalves(q, sizes.q / 2), k_cache: toHalves(k, sizes.k_cache / 2), v_cache: toHalves(v, sizes.v_cache / 2) };
      const read = await runKernel(rig, T, start, (io) => void io.run(attentionPrefillMatrix, call, given));
      const rows = asF32(inside(read.out!));
      if (splits === 1) return hand(out, rows.subarray(0, out.length), read);
      hand(out, joinSplits(rows, asF32(inside(read.stats!)), splits, T, shape.H, shape.Hd), read);
    },
    {
      variant: splits > 1 ? "attention-prefill-matrix-in-splits" : "attention-prefill-matrix",
      accepts: ({ T }) => splits === 1 || T <= SPLIT_ROWS,
    },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => onMatrices(rig, attentionPrefillMatrix, [way(rig, 1), way(rig, SPLITS)]);

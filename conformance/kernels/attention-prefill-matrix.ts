import { attentionPrefillMatrix, SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { fromEights, fromPanels, joinSplits, toHalves, whereRounded } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

const SPLITS = 3;

/** In `splits` of the keys, which are joined here; or whole, as f32 and as f16, in rows or panels by the start of the case. */
const way = (rig: Rig, splits: number): AnyGpuSubject =>
  subject<AttentionCase>(
    attentionPrefillMatrix,
    async ({ T, start, shape, q, k, v }, out) => {
      const run = (how: { readonly eights: boolean; readonly panels: boolean }) => {
        const call = { ...shape, splits, ...how };
        const sizes = attentionPrefillMatrix.sizes(call, T, start);
        const given = { q: toHalves(q, sizes.q / 2), k_cache: toHalves(k, sizes.k_cache / 2), v_cache: toHalves(v, sizes.v_cache / 2) };
        return runKernel(rig, T, start, (io) => void io.run(attentionPrefillMatrix, call, given));
      };
      const read = await run({ eights: false, panels: false });
      const rows = asF32(inside(read.out!));
      const width = shape.H * shape.Hd;
      if (splits > 1) return hand(out, joinSplits(rows, asF32(inside(read.stats!)), splits, T, shape.H, shape.Hd), read);
      const panels = start % 2 === 1 && width % 32 === 0;
      const rounded = await run({ eights: true, panels });
      hand(out, whereRounded(rows, panels ? fromPanels(rounded.out!, T, width) : fromEights(rounded.out!)), {
        ...read,
        ...Object.fromEntries(Object.entries(rounded).map(([name, words]) => [`rounded ${name}`, words])),
      });
    },
    {
      variant: splits > 1 ? "attention-prefill-matrix-in-splits" : "attention-prefill-matrix",
      accepts: ({ T, shape: { Hd } }) => Hd % 16 === 0 && Hd >= 32 && Hd <= 128 && (splits === 1 || T <= SPLIT_ROWS),
      arithmetic: "f16-running",
    },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => onMatrices(rig, attentionPrefillMatrix, [way(rig, 1), way(rig, SPLITS)]);

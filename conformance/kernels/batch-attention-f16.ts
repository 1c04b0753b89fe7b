import { attentionSubgroups, batchAttentionF16 } from "../../gpu/kernels/batch/batch-attention-f16.ts";
import { SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import { type WorkgroupLimits, workgroupLimits } from "../../gpu/wgsl/teams.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { attentionInSlot, fromEights, joinSplits, toHalves, whereRounded } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, type GpuSubject, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

const SPLITS = 3;

/** The least that a device allows a workgroup. */
const LEAST: WorkgroupLimits = { invocations: 256, bytes: 16_384 };

/** The queries of a case as rows of a batch (attentionInSlot): in `splits`, joined here, or whole, as f32 and as f16. */
const way = (
  rig: Rig,
  splits: number,
  few: boolean,
  more: Partial<GpuSubject<AttentionCase>>,
  limits = workgroupLimits(rig.gpu.capabilities),
): AnyGpuSubject =>
  subject<AttentionCase>(
    batchAttentionF16,
    async (c, out) => {
      const { T, start } = c;
      const { H, Hd } = c.shape;
      const { rows, slots, capacity, inSlot, turned } = attentionInSlot(c);
      const given = { rows, q: toHalves(turned(c.q)), keys: toHalves(inSlot(c.k)), values: toHalves(inSlot(c.v)) };
      const shape = { ...c.shape, slots, capacity, splits, subgroups: attentionSubgroups(Hd, few, limits) };
      const run = (eights: boolean) => runKernel(rig, T, start, (io) => void io.run(batchAttentionF16, { ...shape, eights }, given));
      const read = await run(false);
      const exact = asF32(inside(read.out!));
      if (splits > 1) return hand(out, turned(joinSplits(exact, asF32(inside(read.stats!)), splits, T, H, Hd)), read);
      const rounded = await run(true);
      hand(out, turned(whereRounded(exact, fromEights(rounded.out!))), {
        ...read,
        ...Object.fromEntries(Object.entries(rounded).map(([name, words]) => [`rounded ${name}`, words])),
      });
    },
    {
      op: "attention-prefill-matrix",
      ...more,
      accepts: ({ T, shape: { Hd } }) => Hd % 8 === 0 && Hd <= 256 && T <= (splits > 1 ? SPLIT_ROWS : MOST_ROWS),
    },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, batchAttentionF16, [
    way(rig, 1, false, {}),
    way(rig, 1, true, { variant: "batch-attention-f16-of-few-rows" }),
    way(rig, SPLITS, true, { variant: "batch-attention-f16-in-splits" }),
    way(rig, SPLITS, true, { variant: "batch-attention-f16-in-splits-of-small-workgroups" }, LEAST),
    way(rig, 1, true, { variant: "batch-attention-f16-of-small-workgroups" }, LEAST),
  ]);

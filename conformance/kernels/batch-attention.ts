import { batchAttention } from "../../gpu/kernels/batch/batch-attention.ts";
import { MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { attentionInSlot } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { cacheOf, perCache } from "./attention.ts";

/** The queries of a case as rows of a batch (attentionInSlot). */
export const subjects = (rig: Rig): AnyGpuSubject[] =>
  perCache(
    (dtype, more) =>
      subject<AttentionCase>(
        batchAttention,
        async (c, out) => {
          const { T, start } = c;
          const { rows, slots, capacity, inSlot, turned } = attentionInSlot(c);
          const { shape, keys, values } = cacheOf({ ...c, k: inSlot(c.k), v: inSlot(c.v) }, dtype);
          const given = { rows, q: turned(c.q), keys, values };
          const read = await runKernel(rig, T, start, (io) => void io.run(batchAttention, { ...shape, slots, capacity }, given));
          hand(out, turned(asF32(inside(read.out!))), read);
        },
        { op: "attention", ...more, accepts: ({ T, shape: { H, G, Hd } }) => T <= MOST_ROWS && Hd % 4 === 0 && Hd <= 256 && H % G === 0 },
      ),
    batchAttention.name,
  );

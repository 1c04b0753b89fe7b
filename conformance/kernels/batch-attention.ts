import { batchAttention } from "../../gpu/kernels/batch/batch-attention.ts";
import { encodeRows, MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { slotFor } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, FILL, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { cacheOf, perCache } from "./attention.ts";

/** The queries of a case as rows of a batch, the last first, each at its own position of one slot; the others hold what must not be seen. */
export const subjects = (rig: Rig): AnyGpuSubject[] =>
  perCache(
    (dtype, more) =>
      subject<AttentionCase>(
        batchAttention,
        async (c, out) => {
          const { T, start } = c;
          const { H, G, Hd } = c.shape;
          const capacity = start + T + 2;
          const each = capacity * G * Hd;
          const slot = slotFor(each);
          const inSlot = (rows: Float32Array): Float32Array => {
            const all = new Float32Array((slot + 2) * each).fill(FILL);
            all.set(rows, slot * each);
            return all;
          };
          const { shape, keys, values } = cacheOf({ ...c, k: inSlot(c.k), v: inSlot(c.v) }, dtype);
          const width = H * Hd;
          const turned = (rows: Float32Array): Float32Array =>
            rows.map((_, i) => rows[(T - 1 - Math.floor(i / width)) * width + (i % width)]!);
          const rows = encodeRows(Array.from({ length: T }, (_, t) => ({ slot, start: start + T - 1 - t })));
          const given = { rows, q: turned(c.q), keys, values };
          const read = await runKernel(rig, T, start, (io) => void io.run(batchAttention, { ...shape, slots: slot + 2, capacity }, given));
          hand(out, turned(asF32(inside(read.out!))), read);
        },
        { op: "attention", ...more, accepts: ({ T, shape: { H, G, Hd } }) => T <= MOST_ROWS && Hd % 4 === 0 && Hd <= 256 && H % G === 0 },
      ),
    batchAttention.name,
  );

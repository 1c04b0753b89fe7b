import { attentionPrefillMatrix } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { toHalves } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, attentionPrefillMatrix, [
    subject<AttentionCase>(attentionPrefillMatrix, async ({ T, start, shape, q, k, v }, out) => {
      const sizes = attentionPrefillMatrix.sizes(shape, T, start);
      const given = { q: toHalves(q, sizes.q / 2), k_cache: toHalves(k, sizes.k_cache / 2), v_cache: toHalves(v, sizes.v_cache / 2) };
      const read = await runKernel(rig, T, start, (io) => void io.run(attentionPrefillMatrix, shape, given));
      hand(out, asF32(inside(read.out!)).subarray(0, out.length), read);
    }),
  ]);

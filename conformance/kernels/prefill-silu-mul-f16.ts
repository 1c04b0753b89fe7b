import { prefillSiluMulF16 } from "../../gpu/kernels/prefill/prefill-silu-mul-f16.ts";
import type { RowsCase } from "../cases/prefill-rows.ts";
import { fromEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<RowsCase>(prefillSiluMulF16, async ({ T, width: F, x: gate, y: up }, out) => {
    const both = new Float32Array(2 * gate.length);
    for (let t = 0; t < T; t++) {
      both.set(gate.subarray(t * F, (t + 1) * F), 2 * t * F);
      both.set(up.subarray(t * F, (t + 1) * F), (2 * t + 1) * F);
    }
    const read = await runKernel(rig, T, 0, (io) => void io.run(prefillSiluMulF16, { F }, { y: both }));
    hand(out, fromEights(read.x!), read);
  }),
];

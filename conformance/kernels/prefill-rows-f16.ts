import { prefillRowsF16 } from "../../gpu/kernels/prefill/prefill-rows-f16.ts";
import type { RowsCase } from "../cases/prefill-rows.ts";
import { fromEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<RowsCase>(prefillRowsF16, async ({ T, width, x }, out) => {
    const read = await runKernel(rig, T, 0, (io) => void io.run(prefillRowsF16, { K: width }, { y: x }));
    hand(out, fromEights(read.x!), read);
  }),
];

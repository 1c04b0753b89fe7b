import { prefillSiluMulF16 } from "../../gpu/kernels/prefill/prefill-silu-mul-f16.ts";
import type { RowsCase } from "../cases/prefill-rows.ts";
import { fromEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** Rows of gate and up side by side. */
function sideBySide({ T, width: F, x: gate, y: up }: RowsCase): Float32Array {
  const both = new Float32Array(2 * gate.length);
  for (let t = 0; t < T; t++) {
    both.set(gate.subarray(t * F, (t + 1) * F), 2 * t * F);
    both.set(up.subarray(t * F, (t + 1) * F), (2 * t + 1) * F);
  }
  return both;
}

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<RowsCase>(prefillSiluMulF16, async (c, out) => {
    const read = await runKernel(rig, c.T, 0, (io) => void io.run(prefillSiluMulF16, { F: c.width }, { y: sideBySide(c) }));
    hand(out, fromEights(read.x!), read);
  }),
  // Every other element of one row as its bias.
  subject<RowsCase>(
    prefillSiluMulF16,
    async (c, out) => {
      const both = sideBySide(c);
      const given = { y: both.map((value, i) => (i % 2 ? value : 0)), bias: both.map((value, i) => (i % 2 ? 0 : value)) };
      const read = await runKernel(rig, c.T, 0, (io) => void io.run(prefillSiluMulF16, { F: c.width, hasBias: true }, given));
      hand(out, fromEights(read.x!), read);
    },
    { variant: "prefill-silu-mul-f16-biased", accepts: ({ T }) => T === 1 },
  ),
];

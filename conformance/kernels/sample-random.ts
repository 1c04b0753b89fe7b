import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { sampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import { BORDER_BYTES } from "../../gpu/wgsl/sampling.ts";
import { GUARD } from "../compare.ts";
import { DRAWS, type DrawsCase } from "../ops/draws.ts";
import type { SampleCase } from "../ops/sample.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { drawToken, ROWS, ranked, twoSeen } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<SampleCase>(sampleRandom, (c, out) => drawToken(rig, c, out), {
    op: "sample",
    kernels: ["logits-partials", "penalize", "sample-border", "sample-random"],
    adapt: (c) => ({ ...c, options: { ...c.options, temperature: c.options.temperature || 0.8 } }),
  }),
  subject<DrawsCase>(
    sampleRandom,
    async ({ logits, options, position }, out) => {
      const V = logits.length;
      const read = await runKernel(rig, ROWS, 0, (io) => {
        const border = io.scratch("border", ROWS * BORDER_BYTES);
        const cut = { ...ranked(io, logits, options, twoSeen([], V)), border };
        io.run(sampleBorder, { V }, cut);
        // Each draw goes on where the one before it left the step.
        const moved = { step: Uint32Array.of(1, 40, 0, 0, 1, position - 1, 0, 0), ids: Uint32Array.of(7, 8), seen: twoSeen([], V) };
        let buffers = {};
        for (let i = 0; i < DRAWS; i++)
          buffers = io.run(sampleRandom, { V }, { ...cut, ...moved, results: new Uint32Array(2 * ROWS * DRAWS), ...buffers });
      });
      const ids = Array.from({ length: DRAWS }, (_, i) => read.results![GUARD + 2 * (ROWS * i + 1)]!);
      hand(out, ids, read);
    },
    { op: "draws", kernels: ["logits-partials", "sample-border", "sample-random"] },
  ),
];

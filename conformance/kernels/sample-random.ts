import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { sampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import { BORDER_BYTES } from "../../gpu/wgsl/sampling.ts";
import { GUARD } from "../compare.ts";
import { DRAWS, type DrawsCase } from "../ops/draws.ts";
import type { SampleCase } from "../ops/sample.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { allSeen, behind, drawToken, ranked, rowsFor } from "../subjects/sampling.ts";

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
      const rows = rowsFor(V);
      const read = await runKernel(rig, rows, 0, (io) => {
        const border = io.scratch("border", rows * BORDER_BYTES);
        const cut = { ...ranked(io, logits, options, allSeen([], V)), border };
        io.run(sampleBorder, { V }, cut);
        // Each draw goes on where the one before it left the step.
        const step = behind(rows, [1, 40, 0, 0], [1, position - 1, 0, 0]);
        const moved = { step, ids: behind(rows, [7], [8]), seen: allSeen([], V) };
        let buffers = {};
        for (let i = 0; i < DRAWS; i++)
          buffers = io.run(sampleRandom, { V }, { ...cut, ...moved, results: new Uint32Array(2 * rows * DRAWS), ...buffers });
      });
      const ids = Array.from({ length: DRAWS }, (_, i) => read.results![GUARD + 2 * (rows * (i + 1) - 1)]!);
      hand(out, ids, read);
    },
    { op: "draws", kernels: ["logits-partials", "sample-border", "sample-random"] },
  ),
];

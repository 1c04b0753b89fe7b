import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import type { CandidatesCase } from "../cases/candidates.ts";
import { GUARD } from "../compare.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";
import { allSeen, ranked, rowsFor } from "../subjects/sampling.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  // What the border leaves, read as core/sample/sampler.ts would: ids above it, and so many of those on it.
  subject<CandidatesCase>(
    sampleBorder,
    async ({ logits, options }, out) => {
      const V = logits.length;
      const read = await runKernel(rig, rowsFor(V), 0, (io) => {
        io.run(sampleBorder, { V }, ranked(io, logits, options, allSeen([], V)));
      });
      const [key, allowed] = read.border!.subarray(GUARD + 2 * (rowsFor(V) - 1));
      const word = new DataView(new ArrayBuffer(4));
      const keyOf = (z: number): number => {
        word.setFloat32(0, z === 0 ? 0 : z);
        const bits = word.getUint32(0);
        return (bits >= 0x80000000 ? ~bits : bits | 0x80000000) >>> 0;
      };
      let rank = 0;
      const inverse = Math.fround(1 / options.temperature);
      const stays = Float32Array.from(logits, (l) => {
        const mine = keyOf(Math.fround(l * inverse));
        return mine > key! || (mine === key && rank++ < allowed!) ? 1 : 0;
      });
      hand(out, stays, read);
    },
    { op: "candidates", kernels: ["logits-partials", "sample-border"] },
  ),
];

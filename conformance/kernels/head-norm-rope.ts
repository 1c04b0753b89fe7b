import { headNormRope } from "../../gpu/kernels/decode/head-norm-rope.ts";
import type { HeadNormCase } from "../ops/head-norm-rope.ts";
import { emptyCaches, readHeads } from "../subjects/decode.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<HeadNormCase>(headNormRope, async (c, out) => {
    const { H, G, Hd, position, raw, qNorm, kNorm, eps, cache } = c;
    const read = await runKernel(rig, 1, position, (io) => {
      io.run(headNormRope, { eps, H, G, Hd, cache }, { raw, q_norm: qNorm, k_norm: kNorm, ...emptyCaches(c) });
    });
    hand(out, readHeads(read, c), read);
  }),
];

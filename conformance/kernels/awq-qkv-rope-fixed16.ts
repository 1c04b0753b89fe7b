import { awqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { notedAt } from "../../gpu/wgsl/cache.ts";
import { lanesOf, teamOf, workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { MOST_BY_HAND } from "../cases/fixed16.ts";
import { writtenCache } from "../cases/written-cache.ts";
import { POISON } from "../compare.ts";
import type { QkvRopeCase } from "../ops/awq-qkv-rope-fixed16.ts";
import { digitsOf, fromHalves, packed, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  [32, 64].map((team) =>
    subject<QkvRopeCase>(
      awqQkvRopeFixed16,
      async ({ H, G, Hd, S, position, weight, eps, tables, scaled, squares }, out) => {
        const { inFeatures: K, groupSize: group } = weight;
        const zeros = new Uint32Array((S * G * Hd) / 2);
        const read = await runKernel(rig, 1, position, (io) => {
          const caches = { k_cache: zeros, v_cache: zeros, rotations: ropeTable(tables) };
          const q_out = new Uint32Array(notedAt(H * Hd) + 1).fill(POISON, 0, H * Hd);
          const given = { q_out, ...digitsOf(scaled, squares), ...packed(io, [weight]), ...caches };
          const cut = K > MOST_BY_HAND ? teamOf(K, lanesOf(workgroupLimits(rig.gpu.capabilities))) : team;
          io.run(awqQkvRopeFixed16, { K, group, team: cut, eps, H, G, Hd }, given);
        });
        const q = inside(read.q_out!);
        const noted = positionNoted(q[notedAt(H * Hd)]!);
        const written = (words: Uint32Array): Float32Array => writtenCache(fromHalves(words), position, 1, G * Hd);
        hand(out, [...asF32(q.subarray(0, H * Hd)), ...written(read.k_cache!), ...written(read.v_cache!), noted], read);
      },
      { variant: `awq-qkv-rope-fixed16-${team}` },
    ),
  );

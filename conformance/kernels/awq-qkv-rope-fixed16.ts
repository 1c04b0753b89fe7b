import { awqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import type { QkvRopeCase } from "../ops/awq-qkv-rope-fixed16.ts";
import { digitsOf, fromHalves, packed } from "../subjects/layouts.ts";
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
          const given = { ...digitsOf(scaled, squares), ...packed(io, [weight]), ...caches };
          io.run(awqQkvRopeFixed16, { K, group, team, eps, H, G, Hd }, given);
        });
        hand(out, [...asF32(inside(read.q_out!)), ...fromHalves(read.k_cache!), ...fromHalves(read.v_cache!)], read);
      },
      { variant: `awq-qkv-rope-fixed16-${team}` },
    ),
  );

import { batchRope } from "../../gpu/kernels/batch/batch-rope.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { encodeRows } from "../../gpu/wgsl/rows.ts";
import type { BatchRopeCase } from "../ops/batch-rope.ts";
import { asCache, fromHalves, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  (["f32", "f16"] as const).map((dtype) =>
    subject<BatchRopeCase>(
      batchRope,
      async ({ rows, H, G, Hd, slots, capacity, tables, y }, out) => {
        const T = rows.length;
        const width = (H + 2 * G) * Hd;
        const part = (first: number, length: number): Float32Array => {
          const all = new Float32Array(T * length);
          for (let t = 0; t < T; t++) all.set(y.subarray(t * width + first, t * width + first + length), t * length);
          return all;
        };
        const [A, B] = [H * Hd, G * Hd];
        const empty = asCache(new Float32Array(slots * capacity * B), dtype);
        const given = {
          q_in: part(0, A),
          k_in: part(A, B),
          v_in: part(A + B, B),
          rows: encodeRows(rows),
          table: ropeTable(tables),
          keys: empty,
          values: empty,
          noted: new Uint32Array(slots),
        };
        const read = await runKernel(rig, T, 0, (io) => void io.run(batchRope, { H, G, Hd, capacity, slots, dtype }, given));
        const widen = (words: Uint32Array): Float32Array => (dtype === "f32" ? asF32(inside(words)) : fromHalves(words));
        const noted = [...inside(read.noted!)].map(positionNoted);
        hand(out, [...asF32(inside(read.q!)), ...widen(read.keys!), ...widen(read.values!), ...noted], read);
      },
      { variant: `batch-rope-${dtype}-cache`, arithmetic: dtype === "f16" ? "f16-cache" : "f32" },
    ),
  );

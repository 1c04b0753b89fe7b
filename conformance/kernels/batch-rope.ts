import { batchRope } from "../../gpu/kernels/batch/batch-rope.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { encodeRows } from "../../gpu/wgsl/rows.ts";
import type { BatchRopeCase } from "../ops/batch-rope.ts";
import { asCache, fromHalves, inPieces, PIECES, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** How q, k and v are handed over: apart, as the plain linears leave them, or side by side in rows that may be in pieces. */
const ways = [
  { name: "", pieces: 0, dtype: "f32" },
  { name: "-side-by-side", pieces: 1, dtype: "f16" },
  { name: "-in-pieces", pieces: PIECES, dtype: "f16" },
] as const;

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  ways.map(({ name, pieces, dtype }) =>
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
        const apart = pieces === 0;
        const whole = pieces > 1 ? inPieces(y, width, pieces) : y;
        const inputs = apart ? { q_in: part(0, A), k_in: part(A, B), v_in: part(A + B, B) } : { q_in: whole, k_in: whole, v_in: whole };
        const places = apart
          ? { qFirst: 0, kFirst: 0, vFirst: 0, qStride: A, kvStride: B }
          : { qFirst: 0, kFirst: A, vFirst: A + B, qStride: width, kvStride: width };
        const empty = asCache(new Float32Array(slots * capacity * B), dtype);
        const given = {
          ...inputs,
          rows: encodeRows(rows),
          table: ropeTable(tables),
          keys: empty,
          values: empty,
          noted: new Uint32Array(slots),
        };
        const shape = { H, G, Hd, capacity, slots, dtype, ...(apart ? {} : { pieces }), ...places };
        const read = await runKernel(rig, T, 0, (io) => void io.run(batchRope, shape, given));
        const widen = (words: Uint32Array): Float32Array => (dtype === "f32" ? asF32(inside(words)) : fromHalves(words));
        const noted = [...inside(read.noted!)].map(positionNoted);
        hand(out, [...asF32(inside(read.q!)), ...widen(read.keys!), ...widen(read.values!), ...noted], read);
      },
      {
        variant: `batch-rope${name}`,
        arithmetic: dtype === "f16" ? "f16-cache" : "f32",
        // Pieces are of 16 rows at most.
        accepts: ({ rows }) => pieces <= 1 || rows.length <= 16,
      },
    ),
  );

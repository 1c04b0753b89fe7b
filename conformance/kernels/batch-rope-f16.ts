import { batchRopeF16 } from "../../gpu/kernels/batch/batch-rope-f16.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import { writtenCache } from "../cases/written-cache.ts";
import { HEAD_EPS, type PrefillRopeCase } from "../ops/prefill-rope-f16.ts";
import { fromHalves, inPieces, PIECES, positionNoted, rowsInSlot } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/**
 * The rows of a prompt as rows of a batch (rowsInSlot): nothing may be written to other slots. In pieces, every other element of a single row is
 * bias.
 */
const way = (rig: Rig, pieces: number, more: Partial<GpuSubject<PrefillRopeCase>>): AnyGpuSubject =>
  subject<PrefillRopeCase>(
    batchRopeF16,
    async ({ T, start, H, G, Hd, S, tables, y, norms }, out) => {
      const each = S * G * Hd;
      const { rows, slot, slots, turned } = rowsInSlot({ T, start }, each);
      const biased = pieces > 1 && T === 1;
      const width = (H + 2 * G) * Hd;
      const bias = Float32Array.from({ length: width }, (_, i) => (biased && i % 2 === 0 ? y[i]! : 0));
      const given = turned(y).map((value, i) => (biased && i % 2 === 0 ? 0 : value));
      const cache = new Uint32Array((slots * each) / 2);
      const read = await runKernel(rig, T, start, (io) => {
        io.run(
          batchRopeF16,
          { H, G, Hd, slots, capacity: S, pieces, hasBias: biased, normEps: norms ? HEAD_EPS : null },
          {
            rows,
            y: pieces > 1 ? inPieces(given, width, pieces) : given,
            table: ropeTable(tables),
            k_cache: cache,
            v_cache: cache,
            noted: new Uint32Array(slots),
            ...(norms || biased ? { extras: Float32Array.from([...bias, ...(norms ? [...norms[0], ...norms[1]] : [])]) } : {}),
          },
        );
      });
      const written = (words: Uint32Array): Float32Array => {
        const all = fromHalves(words);
        const [first, end] = [slot * each, (slot + 1) * each];
        const outside = all.some((x, i) => x !== 0 && (i < first || i >= end));
        const own = writtenCache(all.slice(first, end), start, T, G * Hd);
        return outside ? own.fill(Number.NaN) : own;
      };
      const noted = [...inside(read.noted!)].map(positionNoted);
      const q = turned(fromHalves(read.q!));
      const position = noted.every((at, i) => at === -1 || i === slot) ? noted[slot]! : Number.NaN;
      hand(out, [...q, ...written(read.k_cache!), ...written(read.v_cache!), position], read);
    },
    { op: "prefill-rope-f16", ...more, accepts: (c) => c.T <= MOST_ROWS && (more.accepts?.(c) ?? true) },
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  way(rig, 1, {}),
  way(rig, PIECES, { variant: "batch-rope-f16-in-pieces", accepts: ({ T }) => T <= ROWS16 }),
];

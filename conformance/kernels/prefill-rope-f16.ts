import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { prefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import { writtenCache } from "../cases/written-cache.ts";
import type { PrefillRopeCase } from "../ops/prefill-rope-f16.ts";
import { fromHalves, inPieces, PIECES, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  [1, PIECES].map((pieces) =>
    subject<PrefillRopeCase>(
      prefillRopeF16,
      async ({ T, start, H, G, Hd, S, tables, y }, out) => {
        const zeros = new Uint32Array((S * G * Hd) / 2);
        const given = {
          y: pieces > 1 ? inPieces(y, (H + 2 * G) * Hd, pieces) : y,
          table: ropeTable(tables),
          k_cache: zeros,
          v_cache: zeros,
          noted: new Uint32Array(1),
        };
        const read = await runKernel(rig, T, start, (io) => void io.run(prefillRopeF16, { H, G, Hd, pieces }, given));
        const written = (words: Uint32Array): Float32Array => writtenCache(fromHalves(words), start, T, G * Hd);
        const noted = positionNoted(inside(read.noted!)[0]!);
        hand(out, [...fromHalves(read.q!), ...written(read.k_cache!), ...written(read.v_cache!), noted], read);
      },
      {
        variant: `prefill-rope-f16${pieces > 1 ? "-in-pieces" : ""}`,
        special: pieces > 1,
        accepts: ({ T }) => pieces === 1 || T <= ROWS16,
      },
    ),
  );

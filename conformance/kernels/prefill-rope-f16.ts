import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { prefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import type { PrefillRopeCase } from "../ops/prefill-rope-f16.ts";
import { fromHalves, inPieces, PIECES } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

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
        };
        const read = await runKernel(rig, T, start, (io) => void io.run(prefillRopeF16, { H, G, Hd, pieces }, given));
        hand(
          out,
          Object.values(read).flatMap((words) => [...fromHalves(words)]),
          read,
        );
      },
      { variant: `prefill-rope-f16${pieces > 1 ? "-in-pieces" : ""}` },
    ),
  );

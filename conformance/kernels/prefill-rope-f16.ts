import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { prefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import { writtenCache } from "../cases/written-cache.ts";
import { HEAD_EPS, type PrefillRopeCase } from "../ops/prefill-rope-f16.ts";
import { fromHalves, inPieces, PIECES, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type GpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** `biased`: every other element of one row lies in the biases. */
const way = (
  rig: Rig,
  { pieces, biased }: { readonly pieces: number; readonly biased: boolean },
  more: Partial<GpuSubject<PrefillRopeCase>>,
): AnyGpuSubject =>
  subject<PrefillRopeCase>(
    prefillRopeF16,
    async ({ T, start, H, G, Hd, S, tables, y, norms }, out) => {
      const zeros = new Uint32Array((S * G * Hd) / 2);
      const width = (H + 2 * G) * Hd;
      const bias = Float32Array.from({ length: width }, (_, i) => (biased && i % 2 === 0 ? y[i]! : 0));
      const given = {
        y: pieces > 1 ? inPieces(y, width, pieces) : biased ? y.map((value, i) => (i % 2 ? value : 0)) : y,
        table: ropeTable(tables),
        k_cache: zeros,
        v_cache: zeros,
        noted: new Uint32Array(1),
        ...(norms || biased ? { extras: Float32Array.from([...bias, ...(norms ? [...norms[0], ...norms[1]] : [])]) } : {}),
      };
      const shape = { H, G, Hd, pieces, hasBias: biased, normEps: norms ? HEAD_EPS : null };
      const read = await runKernel(rig, T, start, (io) => void io.run(prefillRopeF16, shape, given));
      const written = (words: Uint32Array): Float32Array => writtenCache(fromHalves(words), start, T, G * Hd);
      const noted = positionNoted(inside(read.noted!)[0]!);
      hand(out, [...fromHalves(read.q!), ...written(read.k_cache!), ...written(read.v_cache!), noted], read);
    },
    more,
  );

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  way(rig, { pieces: 1, biased: false }, { special: false }),
  way(
    rig,
    { pieces: PIECES, biased: false },
    {
      variant: "prefill-rope-f16-in-pieces",
      special: true,
      accepts: ({ T }) => T <= ROWS16,
    },
  ),
  way(rig, { pieces: 1, biased: true }, { variant: "prefill-rope-f16-biased", accepts: ({ T }) => T === 1, special: true }),
];

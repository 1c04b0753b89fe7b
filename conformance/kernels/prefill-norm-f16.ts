import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { prefillNormF16 } from "../../gpu/kernels/prefill/prefill-norm-f16.ts";
import { PREFILL_EPS, type RowsCase } from "../cases/prefill-rows.ts";
import { fromEights, inPieces, PIECES } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const run = ({ T, width, x, y }: RowsCase, pieces: number) => {
    const given = { residual: pieces > 0 ? inPieces(x, width, pieces + 1) : x, norm: y };
    return runKernel(rig, T, 0, (io) => void io.run(prefillNormF16, { K: width, eps: PREFILL_EPS, pieces }, given));
  };
  return [
    subject<RowsCase>(prefillNormF16, async (c, out) => {
      const read = await run(c, 0);
      hand(out, fromEights(read.x!), read);
    }),
    // The residual in pieces, and whether it comes out joined; additions may flush subnormal numbers.
    subject<RowsCase>(
      prefillNormF16,
      async (c, out) => {
        const read = await run(c, 1 + ((c.T + c.width / 32) % PIECES));
        const residual = asF32(inside(read.residual!));
        const joined = (i: number): boolean => Math.abs(residual[i]! - c.x[i]!) < 2 ** -126 || !Number.isFinite(c.x[i]!);
        hand(
          out,
          fromEights(read.x!).map((value, i) => (joined(i) ? value : Number.NaN)),
          read,
        );
      },
      { accepts: ({ T }) => T <= ROWS16, variant: "prefill-norm-f16-in-pieces", special: true },
    ),
  ];
};

import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { normLanes, prefillNormF16 } from "../../gpu/kernels/prefill/prefill-norm-f16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { PREFILL_EPS, type RowsCase } from "../cases/prefill-rows.ts";
import { fromEights, fromPanels, inPieces, PIECES } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  const run = ({ T, width, x, y }: RowsCase, pieces: number) => {
    const given = { residual: pieces > 0 ? inPieces(x, width, pieces + 1) : x, norm: y };
    return runKernel(
      rig,
      T,
      0,
      (io) =>
        void io.run(
          prefillNormF16,
          { K: width, eps: PREFILL_EPS, pieces, lanes: normLanes(pieces > 0, workgroupLimits(rig.gpu.capabilities)) },
          given,
        ),
    );
  };
  /** Every other element of one row as its bias. */
  const biased = ({ T, width, x, y }: RowsCase) => {
    const given = { residual: x.map((value, i) => (i % 2 ? value : 0)), bias: x.map((value, i) => (i % 2 ? 0 : value)), norm: y };
    return runKernel(rig, T, 0, (io) => void io.run(prefillNormF16, { K: width, eps: PREFILL_EPS, hasBias: true }, given));
  };
  /** Whether the residual comes out joined; additions may flush subnormal numbers. */
  const handJoined = (c: RowsCase, out: Float32Array, read: Record<string, Uint32Array>): void => {
    const residual = asF32(inside(read.residual!));
    const joined = (i: number): boolean => Math.abs(residual[i]! - c.x[i]!) < 2 ** -126 || !Number.isFinite(c.x[i]!);
    hand(
      out,
      fromEights(read.x!).map((value, i) => (joined(i) ? value : Number.NaN)),
      read,
    );
  };
  return [
    subject<RowsCase>(prefillNormF16, async (c, out) => {
      const read = await run(c, 0);
      hand(out, fromEights(read.x!), read);
    }),
    subject<RowsCase>(
      prefillNormF16,
      async ({ T, width, x, y }, out) => {
        const shape = { K: width, eps: PREFILL_EPS, panels: true };
        const read = await runKernel(rig, T, 0, (io) => void io.run(prefillNormF16, shape, { residual: x, norm: y }));
        hand(out, fromPanels(read.x!, T, width), read);
      },
      { variant: "prefill-norm-f16-in-panels", accepts: ({ width }) => width % 32 === 0 },
    ),
    subject<RowsCase>(prefillNormF16, async (c, out) => handJoined(c, out, await run(c, 1 + ((c.T + c.width / 32) % PIECES))), {
      accepts: ({ T }) => T <= ROWS16,
      variant: "prefill-norm-f16-in-pieces",
      special: true,
    }),
    subject<RowsCase>(prefillNormF16, async (c, out) => handJoined(c, out, await biased(c)), {
      variant: "prefill-norm-f16-biased",
      accepts: ({ T }) => T === 1,
      special: true,
    }),
  ];
};

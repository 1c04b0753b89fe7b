import { SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { prefillRowsF16 } from "../../gpu/kernels/prefill/prefill-rows-f16.ts";
import type { RowsCase } from "../cases/prefill-rows.ts";
import { fromEights, fromPanels } from "../subjects/layouts.ts";
import { type AnyGpuSubject, FILL, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

const SPLITS = 3;
/** Heads of 128 where the rows are a model's. */
const headOf = (width: number): number => (width > 4096 && width % 128 === 0 ? 128 : 32);

/**
 * Rows in splits, each head's values in one of them, by turns, or in the first two, which have the same weight. Largest scores lie so far apart
 * that exp of one less another head's is infinite or 0.
 */
function split({ T, width, x }: RowsCase): { y: Float32Array; stats: Float32Array } {
  const HEAD = headOf(width);
  const heads = width / HEAD;
  const y = new Float32Array(SPLITS * SPLIT_ROWS * width).fill(FILL);
  const stats = new Float32Array(2 * SPLITS * SPLIT_ROWS * heads);
  for (let t = 0; t < T; t++)
    for (let h = 0; h < heads; h++) {
      const turn = (t + h) % (SPLITS + 1);
      for (let z = 0; z < SPLITS; z++) {
        const row = z * SPLIT_ROWS + t;
        const seen = turn === z || (turn === SPLITS && z < 2);
        const most = (z === 1 && turn !== SPLITS ? -2 : 3) + 200 * ((3 * t + h) % 5);
        stats.set(seen ? [most, 4] : [-3e38, 0], 2 * (row * heads + h));
        if (seen) y.set(x.subarray(t * width + h * HEAD, t * width + (h + 1) * HEAD), row * width + h * HEAD);
      }
    }
  return { y, stats };
}

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<RowsCase>(prefillRowsF16, async ({ T, width, x }, out) => {
    const read = await runKernel(rig, T, 0, (io) => void io.run(prefillRowsF16, { K: width }, { y: x }));
    hand(out, fromEights(read.x!), read);
  }),
  subject<RowsCase>(
    prefillRowsF16,
    async ({ T, width, x }, out) => {
      const read = await runKernel(rig, T, 0, (io) => void io.run(prefillRowsF16, { K: width, panels: true }, { y: x }));
      hand(out, fromPanels(read.x!, T, width), read);
    },
    { variant: "prefill-rows-f16-in-panels", accepts: ({ width }) => width % 32 === 0 },
  ),
  // Products and quotients of powers of two: exact but for what f32 cannot hold.
  subject<RowsCase>(
    prefillRowsF16,
    async (c, out) => {
      const shape = { K: c.width, splits: SPLITS, Hd: headOf(c.width) };
      const read = await runKernel(rig, c.T, 0, (io) => void io.run(prefillRowsF16, shape, split(c)));
      hand(out, fromEights(read.x!), read);
    },
    {
      variant: "prefill-rows-f16-in-splits",
      accepts: ({ T, width, x }) => T <= SPLIT_ROWS && width % headOf(width) === 0 && x.every((value) => Math.abs(value) < 2 ** 120),
    },
  ),
];

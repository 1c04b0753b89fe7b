import { awqRows16F16Matrix, ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import type { MatrixLinearCase } from "../cases/prefill-linear.ts";
import { packed, toEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, FILL, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** Its pieces are joined here, with what y holds before: rounded once, less than any order of f32 sums may be off. */
export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, awqRows16F16Matrix, [
    subject<MatrixLinearCase>(
      awqRows16F16Matrix,
      async ({ T, x, before, weight }, out) => {
        const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
        const pieces = Math.min(3, Math.ceil(K / 256));
        const first = before ? ROWS16 : 0;
        const initial = new Float32Array((first + ROWS16 * pieces) * N).fill(FILL);
        if (before) initial.set(before);
        const read = await runKernel(rig, T, 0, (io) => {
          const given = { x: toEights(x, ROWS16 * K), ...packed(io, [weight]), y: initial };
          io.run(awqRows16F16Matrix, { K, N, group, add: before !== null, pieces }, given);
        });
        const y = asF32(inside(read.y!));
        const joined = Float32Array.from({ length: T * N }, (_, i) => {
          let sum = before ? y[i]! : 0;
          for (let p = 0; p < pieces; p++) sum += y[(first + ROWS16 * p) * N + i]!;
          return sum;
        });
        hand(out, joined, read);
      },
      { op: "awq-prefill-f16-matrix", accepts: ({ T }) => T <= ROWS16 },
    ),
  ]);

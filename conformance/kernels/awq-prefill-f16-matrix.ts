import { awqPrefillF16Matrix, type ProductShape } from "../../gpu/kernels/prefill/awq-prefill-f16-matrix.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import type { MatrixLinearCase } from "../cases/prefill-linear.ts";
import { packed, toEights } from "../subjects/layouts.ts";
import {
  type AnyGpuSubject,
  asF32,
  FILL,
  type Given,
  type GpuSubject,
  hand,
  inside,
  onMatrices,
  type Rig,
  runKernel,
  subject,
} from "../subjects/rig.ts";

/**
 * A product by tiles of `tile` rows: those of the case, then rows of FILL. `operands` gives what it multiplies of
 * `rows` rows.
 */
export const matrixProduct = <Buffers extends string>(
  rig: Rig,
  kernel: Card<Buffers | "weights" | "groups" | "y", ProductShape>,
  tile: number,
  operands: (c: MatrixLinearCase, rows: number) => Given<Buffers>,
): GpuSubject<MatrixLinearCase> =>
  subject<MatrixLinearCase>(kernel, async (c, out) => {
    const { T, before, weight } = c;
    const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
    const rows = Math.ceil(T / tile) * tile;
    const y = new Float32Array(rows * N).fill(FILL);
    if (before) y.set(before);
    const read = await runKernel(rig, T, 0, (io) => {
      io.run(kernel, { K, N, group, add: before !== null }, { ...operands(c, rows), ...packed(io, [weight]), y } as Given<string>);
    });
    hand(out, asF32(inside(read.y!)).subarray(0, T * N), read);
  });

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, awqPrefillF16Matrix, [
    matrixProduct(rig, awqPrefillF16Matrix, 128, ({ x, weight }, rows) => ({ x: toEights(x, rows * weight.inFeatures) })),
  ]);

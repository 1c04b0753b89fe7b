import { matmulPrefillF16Matrix } from "../../gpu/kernels/prefill/matmul-prefill-f16-matrix.ts";
import { type DenseProductShape, piecesRows } from "../../gpu/wgsl/matrix-tile.ts";
import type { DenseLinearCase } from "../ops/matmul-prefill-f16-matrix.ts";
import { toEights } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, FILL, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** Columns of y before the product's, as k has those of q before it. */
const COLUMN = 64;

/** In `pieces` of K, joined here with what y holds before; one is added to y by the kernel. */
const way = (rig: Rig, kernel: typeof matmulPrefillF16Matrix, tile: number, pieces: number): AnyGpuSubject =>
  subject<DenseLinearCase>(
    kernel,
    async ({ T, x, before, weight }, out) => {
      const { inFeatures: K, outFeatures: N, dtype, data } = weight;
      const width = COLUMN + N;
      const add = before !== null;
      const count = Math.min(pieces, K / 64);
      const shape: DenseProductShape = { dtype, K, N, add, width, column: COLUMN, pieces: add && pieces === 1 ? 0 : count, apart: tile };
      const y = new Float32Array(Math.max(tile * Math.ceil(T / tile), piecesRows(shape)) * width).fill(FILL);
      if (before) for (let t = 0; t < T; t++) y.set(before.subarray(t * N, (t + 1) * N), t * width + COLUMN);
      const given = { x: toEights(x, tile * Math.ceil(T / tile) * K), weight: data, y };
      const read = await runKernel(rig, T, 0, (io) => void io.run(kernel, shape, given));
      const parts = asF32(inside(read.y!));
      const first = add && pieces > 1 ? tile : 0;
      const joined = Float32Array.from({ length: T * N }, (_, i) => {
        const at = Math.floor(i / N) * width + COLUMN + (i % N);
        let sum = add && pieces > 1 ? parts[at]! : 0;
        for (let p = 0; p < Math.max(1, shape.pieces!); p++) sum += parts[(first + tile * p) * width + at]!;
        return sum;
      });
      // What is left of the product's columns is not its own.
      for (let t = 0; t < T; t++) if (parts[t * width] !== FILL) joined[t * N] = Number.NaN;
      hand(out, joined, read);
    },
    {
      op: "matmul-prefill-f16-matrix",
      variant: pieces > 1 ? `${kernel.name}-in-pieces` : kernel.name,
      accepts: ({ T }) => pieces === 1 || T <= tile,
    },
  );

export const denseTileSubjects = (rig: Rig, kernel: typeof matmulPrefillF16Matrix, tile: number): AnyGpuSubject[] =>
  onMatrices(rig, kernel, [way(rig, kernel, tile, 1), way(rig, kernel, tile, 3)]);

export const subjects = (rig: Rig): AnyGpuSubject[] => denseTileSubjects(rig, matmulPrefillF16Matrix, 128);

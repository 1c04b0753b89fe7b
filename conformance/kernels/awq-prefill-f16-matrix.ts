import { awqPrefillF16Matrix } from "../../gpu/kernels/prefill/awq-prefill-f16-matrix.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import { type PiecesShape, type ProductShape, piecesRows } from "../../gpu/wgsl/matrix-tile.ts";
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

const inRows = (x: Float32Array, rows: number, K: number): Uint16Array => toEights(x, rows * K);

/** The most pieces that subjects cut K into. */
const PIECES = 3;

/**
 * A product by tiles of `tile` rows in pieces, which are joined here with what y holds before: rounded once, less than any
 * order of f32 sums may be off.
 */
export const inPieces = (
  rig: Rig,
  kernel: Card<"x" | "weights" | "groups" | "y", PiecesShape>,
  tile: number,
  laid: (x: Float32Array, rows: number, K: number) => Uint16Array = inRows,
): GpuSubject<MatrixLinearCase> =>
  subject<MatrixLinearCase>(
    kernel,
    async ({ T, x, before, weight }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
      const shape = { K, N, group, add: before !== null, pieces: Math.min(PIECES, K / 64), apart: tile };
      const y = new Float32Array(piecesRows(shape) * N).fill(FILL);
      if (before) y.set(before);
      const read = await runKernel(rig, T, 0, (io) => {
        io.run(kernel, shape, { x: laid(x, tile, K), ...packed(io, [weight]), y });
      });
      const parts = asF32(inside(read.y!));
      const first = before ? tile : 0;
      const joined = Float32Array.from({ length: T * N }, (_, i) => {
        let sum = before ? parts[i]! : 0;
        for (let p = 0; p < shape.pieces; p++) sum += parts[(first + tile * p) * N + i]!;
        return sum;
      });
      hand(out, joined, read);
    },
    { op: "awq-prefill-f16-matrix", variant: `${kernel.name}-in-pieces`, accepts: ({ T }) => T <= tile },
  );

/** A kernel of wgsl/matrix-tile.ts whose tile has so many rows, x as `laid` lays them: whole, and in pieces. */
export const tileSubjects = (
  rig: Rig,
  kernel: Card<"x" | "weights" | "groups" | "y", PiecesShape>,
  tile: number,
  laid: (x: Float32Array, rows: number, K: number) => Uint16Array = inRows,
): AnyGpuSubject[] =>
  onMatrices(rig, kernel, [
    {
      ...matrixProduct(rig, kernel, tile, ({ x, weight }, rows) => ({ x: laid(x, rows, weight.inFeatures) })),
      op: "awq-prefill-f16-matrix",
    },
    inPieces(rig, kernel, tile, laid),
  ]);

export const subjects = (rig: Rig): AnyGpuSubject[] => tileSubjects(rig, awqPrefillF16Matrix, 128);

/** Linears by tiles (gpu/wgsl/tile.ts) as subjects: whole, and in pieces that join-pieces joins. */
import { joinPieces } from "../../gpu/kernels/plain/join-pieces.ts";
import type { awqTile } from "../../gpu/wgsl/tile-awq.ts";
import type { matmulTile } from "../../gpu/wgsl/tile-dense.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import { inTwo, packed, paddedRows } from "../subjects/layouts.ts";
import { type AnyGpuSubject, type Given, type Io, intoOut, type Rig, subject } from "../subjects/rig.ts";

/** Rows of another matrix before the one under test, as q, k and v share one. */
const FIRST_ROW = 12;
export const PIECES = 3;

/** Runs `product` into the output, or in pieces into memory that join-pieces joins. */
function whole(io: Io, pieces: number, T: number, N: number, bias: Float32Array | null, product: (given: Given<string>) => void): void {
  const shared = bias ? { bias } : {};
  if (pieces === 1) {
    product(shared);
    return;
  }
  const parts = io.scratch("parts", 4 * pieces * T * N);
  product({ out: parts });
  io.run(joinPieces, { N, pieces, hasBias: bias !== null }, { parts, ...shared });
}

const named = (name: string, pieces: number): { variant: string; kernels: string[] } => ({
  variant: pieces > 1 ? `${name}-in-pieces` : name,
  kernels: pieces > 1 ? [name, joinPieces.name] : [name],
});

/** `ways`: the numbers of pieces that K is cut into. */
export const awqTileSubjects = (rig: Rig, kernel: ReturnType<typeof awqTile>, ways: readonly number[]): AnyGpuSubject[] =>
  ways.map((pieces) =>
    subject<AwqMatmulCase>(
      kernel,
      ({ T, x, weight, bias }, out) =>
        intoOut(rig, out, T, 0, (io) => {
          const { inFeatures: K, outFeatures: N, groupSize } = weight;
          const operands = { x, ...packed(io, [weight], FIRST_ROW) };
          const shape = { K, N, groupSize, firstRow: FIRST_ROW, hasBias: bias !== null && pieces === 1, pieces };
          whole(io, pieces, T, N, bias, (given) => void io.run(kernel, shape, { ...operands, ...given }));
        }),
      {
        ...named(kernel.name, pieces),
        op: "awq-matmul",
        accepts: ({ weight }) => weight.groupSize % 32 === 0,
      },
    ),
  );

/** The case with K brought to a multiple of 16 by zeros in x and W. */
function inSixteens(c: MatmulCase): MatmulCase {
  const { T, x, weight } = c;
  const { inFeatures: from, outFeatures: N, data } = weight;
  const K = 16 * Math.ceil(from / 16);
  if (K === from) return c;
  const widen = <A extends MatmulCase["x"] | typeof data>(rows: A, count: number): A => {
    const wide = new (rows.constructor as new (length: number) => A)(count * K);
    for (let r = 0; r < count; r++) wide.set(rows.subarray(r * from, (r + 1) * from), r * K);
    return wide;
  };
  return { ...c, x: widen(x, T), weight: { ...weight, inFeatures: K, data: widen(data, N) } };
}

/** In so many pieces, and of a weight that lies in two buffers. */
export const matmulTileSubjects = (rig: Rig, kernel: ReturnType<typeof matmulTile>, ways: readonly number[]): AnyGpuSubject[] => [
  ...ways.map((pieces) =>
    subject<MatmulCase>(
      kernel,
      ({ T, x, weight, bias }, out) =>
        intoOut(rig, out, T, 0, (io) => {
          const { inFeatures: K, outFeatures: N, dtype } = weight;
          const shape = { dtype, K, N, firstColumn: 0, columns: N, hasBias: bias !== null && pieces === 1, pieces };
          whole(io, pieces, T, N, bias, (given) => void io.run(kernel, shape, { x, weight: paddedRows(weight), ...given }));
        }),
      { ...named(kernel.name, pieces), op: "matmul", adapt: inSixteens },
    ),
  ),
  subject<MatmulCase>(
    kernel,
    ({ T, x, weight, bias }, out) =>
      intoOut(rig, out, T, 0, (io) => {
        const { inFeatures: K, outFeatures: columns, dtype } = weight;
        let buffers = {};
        for (const { from, to } of inTwo(weight)) {
          const given = { x, ...(bias ? { bias } : {}), ...buffers, weight: paddedRows(weight, from, to) };
          const shape = { dtype, K, columns, N: to - from, firstColumn: from, hasBias: bias !== null, pieces: 1 };
          buffers = io.run(kernel, shape, given);
        }
      }),
    { op: "matmul", variant: `${kernel.name}-of-two`, adapt: inSixteens },
  ),
];
